"""The page: static files, a pure client of the public `/v1`."""
