"""What can be written after a command: options shared by commands, and those made from the contracts."""
