"""Answering queries from a hot index."""
