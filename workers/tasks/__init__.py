"""Tasks: how rows become tokens, losses and predictions."""
