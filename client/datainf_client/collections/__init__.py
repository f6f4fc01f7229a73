"""What a client offers, one collection per resource."""
