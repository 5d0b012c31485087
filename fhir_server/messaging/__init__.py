"""Secure messaging over Communication."""
