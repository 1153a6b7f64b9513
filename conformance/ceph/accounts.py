"""The S3 accounts the suite wants, their access keys, and the file it reads them from."""

import configparser
import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from conformance.ceph.worker import configuration
from conformance.server import RunningServer

# What makes a key an account of its own, with what it owns and what it is granted.
ACCOUNT_OPTIONS: Final = ("--account",)
# One S3 "day" of the lifecycle tests, for server and suite alike.
LIFECYCLE_DAY_SECONDS: Final = 5
# The suite signs its browser forms the old way.
SERVER_SETTINGS: Final = {
    "ROWLOCK_LIFECYCLE_DAY_SECONDS": str(LIFECYCLE_DAY_SECONDS),
    "ROWLOCK_ALLOW_SIGV2_POST": "true",
    # The suite sends customers' keys over whatever it was given, which is plain http here unless asked otherwise.
    "ROWLOCK_CUSTOMER_KEYS_OVER_HTTP": "true",
}

_TENANT: Final = "testx"
_SECTIONS: Final = {
    "s3 main": "main",
    "s3 alt": "alt",
    "s3 tenant": "tenant",
    "iam": "iam",
    "iam root": "iam-root",
    "iam alt root": "iam-alt-root",
}
# The suite deletes the buckets of these: every worker has its own. Of the others it asks nothing that we serve.
_OF_A_WORKER: Final = ("main", "alt", "tenant")


@dataclass(frozen=True, slots=True)
class Account:
    """An account and its key."""

    subject: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @classmethod
    def new(cls, subject: str) -> "Account":
        """An account with a key nobody knows yet."""
        return cls(subject, f"AK{secrets.token_hex(9).upper()}", secrets.token_urlsafe(30))

    @property
    def display_name(self) -> str:
        """The name it goes by."""
        return f"Ceph {self.subject}"

    @property
    def email(self) -> str:
        """The address that grants may name it by."""
        return f"{self.subject}@example.com"

    def canonical_id(self, server: RunningServer) -> str:
        """Its canonical user id, as the server tells it."""
        target = replace(server.target, access_key_id=self.access_key_id, secret_access_key=self.secret_access_key)
        with contextlib.closing(target.client()) as client:
            return str(client.list_buckets()["Owner"]["ID"])


def configure(directory: Path, server: RunningServer, workers: int) -> None:
    """Create every worker's accounts at the server and write the files they are named in.

    Raises:
        subprocess.CalledProcessError: a key could not be created.
    """
    shared = {name: Account.new(name) for name in _SECTIONS.values() if name not in _OF_A_WORKER}
    own = [{name: Account.new(f"{name}-gw{number}") for name in _OF_A_WORKER} for number in range(workers)]
    every = [*shared.values(), *(account for accounts in own for account in accounts.values())]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda account: _create(server, account), every))
    for number, accounts in enumerate(own):
        with configuration(directory, f"gw{number}").open("w", encoding="utf-8") as file:
            _configuration(server, shared | accounts).write(file)


def _create(server: RunningServer, account: Account) -> None:
    server.run(
        *("keys", "create", *ACCOUNT_OPTIONS, "--subject", account.subject, "--display-name", account.display_name),
        *("--access-key-id", account.access_key_id, f"--secret-access-key={account.secret_access_key}", "--json"),
        *("--claims", json.dumps({"email": account.email})),
    )


def _configuration(server: RunningServer, accounts: Mapping[str, Account]) -> configparser.RawConfigParser:
    file = configparser.RawConfigParser()
    file["DEFAULT"] = {
        "host": "127.0.0.1",
        "port": str(server.port),
        "is_secure": str(server.ca_bundle is not None),
        "ssl_verify": "False",
    }
    file["fixtures"] = {
        "bucket prefix": "ceph-{random}-",
        "iam name prefix": "s3-tests-",
        "iam path prefix": "/s3-tests/",
    }
    for section, name in _SECTIONS.items():
        file[section] = dict(_identity(server, accounts[name]))
    file["s3 main"]["lc_debug_interval"] = str(LIFECYCLE_DAY_SECONDS)
    return file


def _identity(server: RunningServer, account: Account) -> Iterator[tuple[str, str]]:
    yield "display_name", account.display_name
    yield "user_id", account.canonical_id(server)
    yield "email", account.email
    yield "access_key", account.access_key_id
    yield "secret_key", account.secret_access_key
    yield "tenant", _TENANT
    yield "api_name", ""
