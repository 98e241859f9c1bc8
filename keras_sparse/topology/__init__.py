"""Which connections exist: NumPy only."""
