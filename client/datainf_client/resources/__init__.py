"""What the service holds, each with what can be asked of it."""
