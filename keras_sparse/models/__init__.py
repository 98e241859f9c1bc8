"""Models that train in a way of their own, one per file."""
