"""Any table that people bring: opened, known for what it is, and read row by row within limits."""
