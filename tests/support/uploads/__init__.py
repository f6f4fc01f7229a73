"""Checkpoints and rows as users have them, and the whole service to send them to."""
