"""Raw-socket black-box tests of the HTTP edge. They need only ``ROWLOCK_ENDPOINT`` and a pair of keys."""
