"""What trainers leave beside an adapter, in plain text and in pickled arguments that nobody loads."""
