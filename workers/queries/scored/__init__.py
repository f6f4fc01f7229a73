"""Influence of rows on test points: all of it here, or with the parts of an index."""
