"""``rowlock doctor``: why is my signature refused?

It signs a few requests of its own, sends them to a server and reads what comes back: the clock, the region, and, from
the canonical request that S3 servers repeat in a SignatureDoesNotMatch, the first line that somebody changed on the
way. Nothing is written: every request is a GET. The secret never leaves this process.
"""

import contextlib
import http.client
import ipaddress
import os
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from cyclopts import App
from lxml import etree

from sigv4 import canonical, signing

TIMEOUT_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 1024 * 1024
# A key with everything proxies like to rewrite: escapes, a plus, an empty segment, a dot segment.
AWKWARD_PATH: Final = "/rowlock-doctor/a%20b%2Bc//d/./%C3%BC~"
_GOOD_CLOCK_SECONDS: Final = 60

_LINES: Final = ("method", "path", "query")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Literal["ok", "note", "FAIL"]
    text: str


@dataclass(frozen=True, slots=True)
class Target:
    """The server and the key to sign with. ``prefix`` is the path of the URL, without a slash at its end."""

    secure: bool
    host: str
    port: int | None
    prefix: str
    region: str
    access_key_id: str
    secret: str = field(repr=False)

    @property
    def authority(self) -> str:
        """The ``Host`` header: without the scheme's own port, as clients send it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port is None or self.port == (443 if self.secure else 80)
        return name if usual else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``error`` holds the elements of S3's error document, empty when there was none."""

    status: int
    date: str | None
    error: dict[str, str]
    sent: bytes

    @property
    def code(self) -> str | None:
        return self.error.get("Code")


def target_of(url: str, *, region: str, access_key_id: str, secret: str) -> Target:
    """Read the URL. Raises ValueError for one that is no http(s) URL of a server."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ValueError(f"{url!r} is not the URL of a server, such as http://127.0.0.1:9000")
    prefix = parts.path.rstrip("/")
    return Target(parts.scheme == "https", parts.hostname, parts.port, prefix, region, access_key_id, secret)


def diagnose(target: Target) -> Iterator[Finding]:
    """Ask the server and explain its answers, the first cause first."""
    try:
        with _connect(target) as connection:
            yield from _transport(connection)
            yield from _judge(target, connection)
    except ssl.SSLCertVerificationError as error:
        yield Finding("FAIL", f"TLS: the certificate is not trusted for {target.host}: {error.verify_message}")
    except ssl.SSLError as error:
        yield Finding("FAIL", f"TLS: no handshake with {target.authority}: {error.reason}")
    except (OSError, http.client.HTTPException) as error:
        yield Finding("FAIL", f"connection to {target.authority}: {error or type(error).__name__}")


def _judge(target: Target, connection: http.client.HTTPConnection) -> Iterator[Finding]:
    answer = send(connection, target, target.prefix + "/")
    yield from _clock(answer)
    if (
        answer.code in ("AuthorizationHeaderMalformed", "AuthorizationQueryParametersError")
        and "Region" in answer.error
    ):
        region = answer.error["Region"]
        yield Finding("FAIL", f"region: the server wants {region!r}, you sign for {target.region!r}")
        target = replace(target, region=region)
        answer = send(connection, target, target.prefix + "/")
    else:
        yield Finding("ok", f"region: {target.region}")
    refused = explain(answer)
    if refused is not None:
        yield refused
        return
    yield Finding("ok", f"signature in the Authorization header: accepted (status {answer.status})")
    for label, found in (
        ("presigned URL", send(connection, target, target.prefix + "/", presigned=True)),
        ("path with escapes and empty segments", send(connection, target, target.prefix + AWKWARD_PATH)),
        (
            "query with escapes",
            send(connection, target, target.prefix + "/rowlock-doctor", "list-type=2&prefix=a%2Fb%20c%2B"),
        ),
    ):
        refused = explain(found, label)
        yield refused or Finding("ok", f"{label}: accepted (status {found.status})")
    yield _addressing(target, connection)


def _transport(connection: http.client.HTTPConnection) -> Iterator[Finding]:
    connection.connect()
    if isinstance(connection.sock, ssl.SSLSocket):
        yield Finding("ok", f"TLS: {connection.sock.version()}, certificate trusted")
    else:
        yield Finding("note", "TLS: none, requests travel in the clear")


def _clock(answer: Answer) -> Iterator[Finding]:
    """Compare the server's ``Date`` with this machine's clock."""
    try:
        theirs = parsedate_to_datetime(answer.date or "")
    except ValueError:
        yield Finding("note", "clock: the server sends no Date")
        return
    seconds = round((theirs - datetime.now(UTC)).total_seconds())
    text = f"clock: the server's is {abs(seconds)} s {'ahead' if seconds > 0 else 'behind'}"
    if abs(seconds) > signing.MAX_SKEW_SECONDS:
        yield Finding(
            "FAIL",
            f"{text}; more than {signing.MAX_SKEW_SECONDS} s are refused: set this machine's clock or the server's",
        )
    else:
        yield Finding("note" if abs(seconds) > _GOOD_CLOCK_SECONDS else "ok", text)


def explain(answer: Answer, label: str = "signature") -> Finding | None:
    """What a refusal means; None when the server accepted who we are (whatever else it says)."""
    match answer.code:
        case "SignatureDoesNotMatch":
            return Finding("FAIL", f"{label}: {difference(answer)}")
        case "InvalidAccessKeyId":
            return Finding("FAIL", f"{label}: the server does not know this access key id, or it was revoked")
        case "RequestTimeTooSkewed":
            return Finding("FAIL", f"{label}: the server's clock says {answer.error.get('ServerTime', 'another time')}")
        case "XAmzContentSHA256Mismatch":
            return Finding("FAIL", f"{label}: something on the way gave this request a body")
        case "AccessDenied" if "HeadersNotSigned" in answer.error:
            names = answer.error["HeadersNotSigned"]
            return Finding("FAIL", f"{label}: something on the way added the header {names}, which is not signed")
        case (
            "AuthorizationHeaderMalformed"
            | "AuthorizationQueryParametersError"
            | "InvalidRequest"
            | "InvalidArgument"
            | "InvalidToken"
            | "InvalidURI"
        ) as code:
            return Finding("FAIL", f"{label}: {code}: {_safe(answer.error.get('Message', ''))}")
        case None if answer.status >= 400:
            return Finding(
                "FAIL", f"{label}: status {answer.status} without an S3 error: is this an S3 server, at this path?"
            )
        case code if answer.status >= 500:
            return Finding("FAIL", f"{label}: status {answer.status} {code}")
        case _:
            return None


def difference(answer: Answer) -> str:
    """The first line in which the server's canonical request differs from ours, and what that usually means."""
    seen_text = answer.error.get("CanonicalRequest")
    if seen_text is None:
        return "refused, and the server does not say what it saw"
    ours, seen = answer.sent.decode("utf-8", "replace").split("\n"), seen_text.split("\n")
    if ours == seen:
        return "the server saw exactly what was signed, so the secret access key is wrong"
    for number, line in enumerate(ours):
        other = seen[number] if number < len(seen) else ""
        if line != other:
            name = _LINES[number] if number < len(_LINES) else line.partition(":")[0] or "header list"
            return f"{_cause(name, line, other)}: signed {_safe(line)!r}, the server saw {_safe(other)!r}"
    return f"the server saw more than was signed, from {_safe(seen[len(ours)])!r}"


def _cause(name: str, ours: str, seen: str) -> str:
    match name:
        case "host":
            return "a proxy rewrites the Host header (let it pass Host unchanged)"
        case "path" if seen and ours.endswith(seen):
            return "a proxy strips a prefix of the path (sign for the path the server sees, or serve without a prefix)"
        case "path":
            return "a proxy rewrites the path (switch its normalising and decoding off)"
        case "query":
            return "a proxy rewrites the query"
        case "method":
            return "a proxy changes the method"
        case _:
            return f"something on the way changes {name}"


def _addressing(target: Target, connection: http.client.HTTPConnection) -> Finding:
    """Whether ``bucket.host`` is read as a bucket: a bucket that does not exist answers so, the service lists."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(target.host)
        return Finding("note", "addressing: path style (an IP address has no host style)")
    answer = send(connection, target, target.prefix + "/", host=f"rowlock-doctor.{target.authority}")
    if answer.code in ("NoSuchBucket", "AccessDenied") or answer.status in (301, 307):
        return Finding("ok", "addressing: path style and host style")
    return Finding(
        "note", "addressing: path style only (host style needs the server's ROWLOCK_DOMAIN and wildcard DNS)"
    )


def send(
    connection: http.client.HTTPConnection,
    target: Target,
    path: str,
    query: str = "",
    *,
    host: str | None = None,
    presigned: bool = False,
) -> Answer:
    """Sign one GET and send it. ``path`` and ``query`` go on the wire as they are."""
    timestamp = signing.format_timestamp(datetime.now(UTC))
    scope = signing.Scope(timestamp[:8].decode(), target.region)
    headers = {"host": host or target.authority}
    if presigned:
        query = _presigned_query(target, scope, timestamp)
        word = b"UNSIGNED-PAYLOAD"
    else:
        word = signing.EMPTY_SHA256
        headers |= {"x-amz-content-sha256": word.decode(), "x-amz-date": timestamp.decode()}
    names = tuple(sorted(name.encode() for name in headers))
    sent = canonical.canonical_request(
        "GET",
        canonical.canonical_path(path.encode()),
        canonical.canonical_query(canonical.split_query(query.encode())),
        {name.encode(): value.encode() for name, value in headers.items()},
        names,
        word,
    )
    key = signing.signing_key(target.secret, scope.date, scope.region, scope.service)
    signature = signing.sign(key, signing.string_to_sign(timestamp, bytes(scope), sent)).decode()
    if presigned:
        query += f"&X-Amz-Signature={signature}"
    else:
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={target.access_key_id}/{bytes(scope).decode()}, "
            f"SignedHeaders={b';'.join(names).decode()}, Signature={signature}"
        )
    connection.putrequest("GET", path + (f"?{query}" if query else ""), skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read(MAX_ANSWER_BYTES)
    if response.read(1):
        connection.close()
    return Answer(response.status, response.headers.get("Date"), _error(body), sent)


def _presigned_query(target: Target, scope: signing.Scope, timestamp: bytes) -> str:
    credential = quote(f"{target.access_key_id}/{bytes(scope).decode()}", safe="")
    return (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={timestamp.decode()}"
        "&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    )


def _connect(target: Target) -> contextlib.closing[http.client.HTTPConnection]:
    if target.secure:
        context = ssl.create_default_context()
        return contextlib.closing(
            http.client.HTTPSConnection(target.host, target.port, timeout=TIMEOUT_SECONDS, context=context)
        )
    return contextlib.closing(http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_SECONDS))


def _error(body: bytes) -> dict[str, str]:
    """The elements of an S3 error document; empty for anything else. The server is not trusted with our parser."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return {}
    if etree.QName(root).localname != "Error":
        return {}
    return {etree.QName(element).localname: element.text or "" for element in root if isinstance(element.tag, str)}


def _safe(text: str) -> str:
    """Text of a server for a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text[:300])


app: Final = App(name="doctor", help="Explain why a server refuses a signature.")


@app.default
def doctor(
    url: str,
    /,
    *,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    region: str | None = None,
) -> None:
    """Send signed test requests to a server and explain what comes back. Exits with 1 when something is wrong.

    Parameters
    ----------
    url
        The server, for example http://127.0.0.1:9000.
    access_key_id
        Default: ROWLOCK_ACCESS_KEY_ID or AWS_ACCESS_KEY_ID.
    secret_access_key
        Default: ROWLOCK_SECRET_ACCESS_KEY or AWS_SECRET_ACCESS_KEY.
    region
        Default: ROWLOCK_REGION, AWS_REGION, AWS_DEFAULT_REGION or us-east-1.
    """
    key = access_key_id or _environment("ROWLOCK_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID")
    secret = secret_access_key or _environment("ROWLOCK_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        print("rowlock doctor: an access key id and its secret are needed", file=sys.stderr)
        raise SystemExit(2)
    region = region or _environment("ROWLOCK_REGION", "AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"
    try:
        target = target_of(url, region=region, access_key_id=key, secret=secret)
    except ValueError as error:
        print(f"rowlock doctor: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    failed = False
    for finding in diagnose(target):
        failed = failed or finding.level == "FAIL"
        print(f"{finding.level:<4}  {finding.text}")
    if failed:
        raise SystemExit(1)


def _environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
