"""Where files are kept for good: in the data directory itself, or in an object store that it is a cache of."""
