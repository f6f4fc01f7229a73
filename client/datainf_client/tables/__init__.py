"""Answers as tables: data frames, and static HTML for notebooks."""
