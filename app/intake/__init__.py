"""Intake of untrusted bytes: archives, tables, hub downloads."""
