"""Fill a Rowlock bucket with millions of keys by SQL instead of by PUT."""

import subprocess
import sys
from pathlib import Path
from typing import Final

_STATEMENT: Final = Path(__file__).with_name("bulk_load.sql")
_LOCATE: Final = (
    "import sys; from pathlib import Path; from gateway.metadata.embedded import locate_running; "
    "found = locate_running(Path(sys.argv[1])); print(found.owner_url if found else '')"
)


def embedded_database_url(checkout: Path, data_dir: Path) -> str | None:
    """The superuser's URL of the Postgres that runs in a data directory, asked of that checkout's own code."""
    command = [sys.executable, "-c", _LOCATE, str(data_dir)]
    answer = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def load_keys(database_url: str, bucket: str, keys: int, keys_a_directory: int) -> None:
    """Create the bucket with its keys, and let Postgres gather statistics. Raises psycopg.Error."""
    import psycopg  # only here: the rest of the load generator needs uvloop and nothing else

    with psycopg.connect(database_url, cursor_factory=psycopg.RawCursor) as connection:
        connection.execute(_STATEMENT.read_bytes(), (bucket, keys, keys_a_directory))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE) storage.objects")
