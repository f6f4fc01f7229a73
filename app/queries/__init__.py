"""Queries over HTTP: submit test points, read scores, list methods."""
