"""An evaluation: an experiment that says which scores to trust, made by training again, and its report."""
