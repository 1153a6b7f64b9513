"""The public suite ceph/s3-tests against Rowlock, with lists of what must pass: see README.md beside this file."""
