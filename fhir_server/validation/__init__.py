"""Is it a good resource?  Pure functions over values."""
