"""HTTP calls, their retries and their errors."""
