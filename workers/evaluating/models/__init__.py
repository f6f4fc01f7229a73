"""Models of an experiment before they are trained."""
