"""All that is kept: Redis records, chunks and queue, files on disk. The only place that imports redis."""
