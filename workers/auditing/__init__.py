"""Audits: what speaks for a wrong label, gathered for every row of an index in turns."""
