"""Commands that read what the service holds, and delete it."""
