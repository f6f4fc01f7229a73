"""How work of one process shares it: queries that do passes together, and their turns."""
