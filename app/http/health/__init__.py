"""Probes and metrics: how the process and its store are."""
