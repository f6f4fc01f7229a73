"""Commands of the curation loop: groups, what if, reviews."""
