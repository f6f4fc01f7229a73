"""Queries by similarity of embeddings."""
