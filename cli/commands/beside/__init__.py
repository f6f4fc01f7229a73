"""Commands that reach Redis and the files themselves, beside the service."""
