"""The sample set that the page offers: rows, a tiny base model and an adapter, all made here from a seed."""
