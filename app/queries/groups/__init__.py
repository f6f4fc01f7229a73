"""Groups of training rows over HTTP, and what leaving rows out is predicted to do."""
