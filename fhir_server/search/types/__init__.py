"""One file per search parameter type: how a value is indexed, and how it is asked for."""
