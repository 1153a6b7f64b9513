"""Black-box suites: they need an endpoint and keys, and also run against servers that are not Rowlock."""
