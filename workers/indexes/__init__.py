"""Finished indexes in memory: codes or gradients of all rows, and passes over them."""
