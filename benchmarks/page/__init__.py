"""How fast the page is, measured in a browser."""
