"""Rows as callers ask for them: which, in which order, and in which form they go out."""
