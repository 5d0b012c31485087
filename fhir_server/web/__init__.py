"""The web pages of the record."""
