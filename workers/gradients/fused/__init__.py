"""LoRA layers as one step of the graph while gradients are taken."""
