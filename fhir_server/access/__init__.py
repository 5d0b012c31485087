"""Who may do what, and why.  Pure functions over plain values."""
