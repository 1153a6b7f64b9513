"""Fixtures for every test: see ``fix_*.py``."""

from tests.fix_postgres import database, directory, module_database, postgres

__all__ = ["database", "directory", "module_database", "postgres"]
