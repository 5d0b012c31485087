"""What a search asks for and how it is answered: parameters, parser, expression tree, two readers.  Pure."""
