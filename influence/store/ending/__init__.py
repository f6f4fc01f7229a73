"""When what is kept ends by itself, and who removes it then."""
