"""Encryption at rest, pure: the format of encrypted bytes and the keys they are under. No I/O, no HTTP, no SQL."""
