"""Per-row gradients beside a training step and beside other libraries."""
