"""How work of one process shares it: queries that do passes together, their turns, and what is done beside a long step."""
