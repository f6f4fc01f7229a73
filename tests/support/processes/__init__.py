"""Processes that tests start, and their terminals."""
