"""Taking objects over from elsewhere: other S3 stores and directories, through the one write path."""
