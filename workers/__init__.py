"""The compute: models, per-row gradients, index building and scoring. Never imports app or a web framework."""
