"""Reports: SQL in, rows out."""
