"""Many resources at once, from files: found, read, given their ids, their references resolved, kept."""
