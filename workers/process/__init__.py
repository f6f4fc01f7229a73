"""One worker process: start, queues, actors, housekeeping."""
