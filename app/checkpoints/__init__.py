"""Checkpoints over HTTP: take in an adapter or a plain model."""
