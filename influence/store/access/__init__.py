"""Who may call: API keys, kept as keyed hashes."""
