"""Training and evaluation rows: what the columns mean, their normal form, statistics, and the file they lie in."""
