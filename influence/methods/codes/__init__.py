"""Methods on compact storage: what a method does with codes, and what that is worth on an index."""
