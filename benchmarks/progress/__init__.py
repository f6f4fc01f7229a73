"""How good `eta_seconds` is: what jobs said of their remaining time, and how long they took."""
