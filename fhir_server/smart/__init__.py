"""The SMART App Launch authorization server."""
