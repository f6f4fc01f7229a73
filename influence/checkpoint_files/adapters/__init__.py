"""How an adapter is written: its folder, the fields of its configuration, the names of its tensors."""
