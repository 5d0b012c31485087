"""The web pages: rendered here, in French or English, loading nothing but what this server sends."""
