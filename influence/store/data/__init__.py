"""What is kept beside records: arrays, tables, files."""
