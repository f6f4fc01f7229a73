"""Audits over HTTP: submit, list rows, export the table."""
