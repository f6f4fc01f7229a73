"""Rows into padded batches, and batches into gradients."""
