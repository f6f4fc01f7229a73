"""Two indexes beside each other."""
