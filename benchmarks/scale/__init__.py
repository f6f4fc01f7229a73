"""Indexes larger than one worker, the first query on an index, and queries beside a build."""
