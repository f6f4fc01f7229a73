"""Small real things that tests share: models built from a configuration, rows, a worker in this process."""
