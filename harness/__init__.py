"""Breaks the service on purpose, for as long as one likes, and checks its promises: `make chaos fuzz load soak`."""
