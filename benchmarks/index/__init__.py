"""The compact index: fidelity, scale, HTTP."""
