"""One automated check a client that people really use."""
