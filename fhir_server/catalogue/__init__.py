"""The catalogue of referenced apps."""
