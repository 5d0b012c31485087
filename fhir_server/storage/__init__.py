"""MongoDB: the only store."""
