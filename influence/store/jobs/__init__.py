"""Jobs of long work: how far each is, how often its pieces were begun, and counts of what became of them."""
