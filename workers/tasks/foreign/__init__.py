"""What strangers' tokenizers and chat templates may do to a worker: nothing but their work."""
