"""Sample data sets, written from a grammar and a seed."""
