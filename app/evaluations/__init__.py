"""Evaluations over HTTP: what can be run, submit, read reports."""
