"""Training an adapter: the experiment that tells whether scores are right."""
