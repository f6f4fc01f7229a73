"""Methods that solve with the Gauss-Newton matrix, by factors or by a series."""
