"""EK-FAC beside kronfluence."""
