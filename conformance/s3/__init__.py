"""One file a family of S3 operations; what AWS documents is what is expected."""
