"""One influence method a file."""
