"""Data sets and previews of their rows over HTTP."""
