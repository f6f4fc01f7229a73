"""Around the application: the server, and what every request passes."""
