"""The service as the command line calls it."""
