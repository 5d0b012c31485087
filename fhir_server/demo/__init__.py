"""What only the demonstration serves: stand-ins for what a server in earnest has around it."""
