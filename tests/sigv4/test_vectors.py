"""AWS's published signature vectors. They are for services in general, so the path is normalised and encoded again."""

import os
import re
from hashlib import sha256
from pathlib import Path

import pytest

from sigv4 import canonical, signing

SUITE = Path(os.environ.get("ROWLOCK_AWS4_SUITE", Path(__file__).resolve().parents[3] / "shared" / "suites" / "aws4"))
CASES = sorted(SUITE.rglob("*.req")) if SUITE.is_dir() else []
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SCOPE = signing.Scope("20150830", "us-east-1", "service")


def read(case: Path):
    # .sreq is .req plus what its signer adds: the session token, and the header that is the answer.
    head, _, body = case.with_suffix(".sreq").read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = re.sub(rb"\n[ \t]+", b" ", head).split(b"\n")
    method, target = first.removesuffix(b" HTTP/1.1").split(b" ", 1)
    path, _, query = target.partition(b"?")
    headers: dict[bytes, bytes] = {}
    for name, _, value in (line.partition(b":") for line in lines if line and not line.startswith(b"Authorization")):
        name, value = name.lower(), value.strip()
        headers[name] = headers[name] + b"," + value if name in headers else value
    return method.decode(), path, query, headers, body


@pytest.mark.skipif(not CASES, reason=f"suite not present: {SUITE} (set ROWLOCK_AWS4_SUITE)")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_aws_vector(case):
    method, path, query, headers, body = read(case)
    authorization = case.with_suffix(".authz").read_bytes()
    signed = tuple(authorization.split(b"SignedHeaders=")[1].split(b",")[0].split(b";"))
    seen = canonical.canonical_request(
        method,
        canonical.canonical_path(path, canonical.PathStyle.GENERIC),
        canonical.canonical_query(canonical.split_query(query)),
        headers,
        signed,
        sha256(body).hexdigest().encode(),
    )
    assert seen == case.with_suffix(".creq").read_bytes().replace(b"\r\n", b"\n")
    text = signing.string_to_sign(headers[b"x-amz-date"], bytes(SCOPE), seen)
    assert text == case.with_suffix(".sts").read_bytes().replace(b"\r\n", b"\n")
    key = signing.signing_key(SECRET, SCOPE.date, SCOPE.region, SCOPE.service)
    assert authorization.strip().endswith(b"Signature=" + signing.sign(key, text))
