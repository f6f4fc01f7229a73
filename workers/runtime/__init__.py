"""What every piece of work in a worker process shares."""
