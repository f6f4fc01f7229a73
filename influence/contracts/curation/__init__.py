"""What curators ask for and decide: conditions on rows, reviews, groups."""
