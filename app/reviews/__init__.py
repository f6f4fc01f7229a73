"""Reviews over HTTP: decide about rows, apply what was decided, hand it over."""
