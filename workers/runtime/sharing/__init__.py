"""How work of one process shares it: passes that queries do together, their turns, others beside a long step."""
