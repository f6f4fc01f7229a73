"""Checks of a request against what is stored, before any work is accepted."""
