"""Proof that nobody learns of, or changes, what is not theirs: generated from the tables of operations and routes."""
