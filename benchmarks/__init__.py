"""How fast the server is, as a share of what the same machine, web server and database could do at best.

See docs/performance.md for the method, and for how to read the table.
"""
