"""The JSON API from outside: our own specification, and the suites of Supabase's clients (``__main__``)."""
