"""Damping sweeps over HTTP."""
