"""The command line: ``rowlock``. Its help is the manual; commands are imported only when they run."""

import os
import sys
from typing import Final

from cyclopts import App

from gateway import __version__
from gateway.errors import StartupError

ROWLOCK: Final = """An S3-compatible storage server whose access rules are Postgres row-level security.

Start it with `rowlock serve`: nothing else is needed. Settings come from flags, then from the environment (`rowlock
config` lists them), then from the defaults."""

SERVE: Final = """Run the server.

S3 on one port; the bytes and a private Postgres in one directory. Nothing needs to be set up before: the first start
makes the data directory, a Postgres in it (unless DATABASE_URL names one), the schema and an access key, and prints
three lines to paste into a shell.

Ctrl-C or SIGTERM lets running requests finish, at most --drain-seconds; a second one does not wait.

A flag wins over its environment variable (ROWLOCK_PORT for --port). `rowlock config` lists what has no flag."""

CONFIG: Final = """Print every setting, its value and its meaning.

Shows the environment variable, the value, where that came from (flag, environment, default) and the description.
Secrets are masked. Flags are those of `rowlock serve`, to see what they would do."""

JWT: Final = """Print a user's token, to try things out.

Signed with ROWLOCK_JWT_SECRET, or with the secret the server made in its data directory at its first start."""

app = App(name="rowlock", version=__version__, help=ROWLOCK)
app.command("gateway.commands.serve:serve", name="serve", help=SERVE)
app.command("gateway.commands.config:config", name="config", help=CONFIG)
app.command("gateway.commands.keys:app", name="keys", help="Create, list, rotate and revoke access keys.")
app.command("gateway.commands.jwt:jwt", name="jwt", help=JWT)
app.command("gateway.commands.tenants:app", name="tenants", help="Make, list, change, suspend and delete tenants.")
app.command("gateway.commands.jwks:app", name="jwks", help="Keys that users' tokens are verified with.")
app.command("gateway.commands.migrate:app", name="migrate", help="Bring the databases of tenants up to date.")
app.command("gateway.commands.master_key:app", name="master-key", help="Rotate the key that seals stored secrets.")
app.command("gateway.commands.database:app", name="db", help="Open the database with psql; show or update its schema.")
app.command("gateway.commands.doctor:doctor", name="doctor", help="Check this installation and say what is wrong.")
app.command("gateway.commands.backends:app", name="backends", help="List the backends; try what they can do.")
app.command("gateway.commands.buckets:app", name="buckets", help="Show and choose the backends of buckets.")
app.command("gateway.commands.moving:move_bucket", name="move-bucket", help="Move a bucket to another backend.")
app.command("gateway.commands.moving:replicate", name="replicate", help="Copy a bucket's bytes to a replica.")
app.command("gateway.commands.transfers:app", name="transfers", help="Moves and replications by the server itself.")
app.command("gateway.commands.importing:import_objects", name="import", help="Import a bucket or a directory.")
app.command("gateway.commands.fsck:fsck", name="fsck", help="Prove that rows and bytes agree, in both directions.")


def main() -> None:
    """Run a command. What a person can cure is printed as one line and leaves with status 1."""
    try:
        result = app(result_action="return_value")
        sys.stdout.flush()
    except StartupError as error:
        for line in str(error).splitlines():
            print(f"rowlock: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader left (`rowlock config | head`); the interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)
