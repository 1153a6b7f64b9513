"""The admin API, on a port of its own: tenants, keys, JWKS, migrations, limits."""
