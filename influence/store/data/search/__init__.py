"""Rows found by what they hold: a table beside the row file, and DuckDB to read it."""
