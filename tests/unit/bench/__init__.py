"""The load generator's own arithmetic and parsing."""
