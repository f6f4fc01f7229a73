"""Loading a checkpoint: base model and adapter, tensor by tensor."""
