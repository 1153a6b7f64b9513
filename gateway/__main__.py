"""``python -m gateway`` is ``rowlock``."""

from gateway.cli import main

if __name__ == "__main__":
    main()
