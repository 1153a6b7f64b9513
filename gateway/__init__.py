"""Rowlock: an S3-compatible storage server whose access rules are Postgres row-level security."""

__version__ = "0.1.0"
