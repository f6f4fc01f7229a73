"""Per-row gradients of trainable weights."""
