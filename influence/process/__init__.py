"""What every process of the service does alike: logs, and restarts of what it keeps running."""
