"""The runner of ceph/s3-tests: lists, results, selection."""
