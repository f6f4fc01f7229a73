"""What a CUDA device makes of it: exactness, precision, speed, the scan, and a process that is killed on it."""
