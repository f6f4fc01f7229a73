"""Gradients and scores worked out a second time, and the models that they are worked out for."""
