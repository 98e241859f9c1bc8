"""Which connections go and come, and when."""
