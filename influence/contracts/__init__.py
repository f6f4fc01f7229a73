"""Frozen contracts of the HTTP API and the store."""
