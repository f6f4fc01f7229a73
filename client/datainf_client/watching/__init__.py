"""Watching jobs until they are final."""
