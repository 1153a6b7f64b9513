"""A load generator that needs only a URL and keys, and compares S3 servers in alternating rounds. See README.md."""
