"""Stories that tests of the page and of curation tell."""
