"""Jobs over HTTP: watch and cancel."""
