"""Which task what was trained is for, and the head that gives its answers."""
