"""The `datainf` command: starts the service and talks to it over HTTP."""
