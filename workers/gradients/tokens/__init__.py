"""What each token of a row adds to its inner product with a direction."""
