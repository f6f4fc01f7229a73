"""Reports of evaluations as text for people. Pure."""
