"""What a caller has at hand, ready to be sent: rows, adapters, test points."""
