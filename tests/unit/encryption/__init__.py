"""Encryption: the format, the keys, and what requests may ask for."""
