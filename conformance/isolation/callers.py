"""Every kind of credential a request can carry, as a way to sign it.

A caller is one person at one door. ``host`` is where its requests go when they name no other; what has no access key
says by the host whose it is.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conformance.isolation.wire import Request

REGION: Final = "us-east-1"


class Kind(StrEnum):
    """How a request proves who sent it."""

    KEY = "access key"
    NARROWED = "narrowed access key"
    SESSION_TOKEN = "session token"
    WEB_IDENTITY = "keys for a web identity"
    KEY_SESSION = "session of a key"
    PRESIGNED = "presigned URL"
    ANONYMOUS = "anonymous"
    BEARER = "bearer token"
    SERVICE_BEARER = "bearer token of the service role"
    FORM = "browser form"


@dataclass(frozen=True, slots=True)
class Caller:
    """A way to sign requests. ``keys`` for what is signed, ``token`` for what carries a bearer token."""

    kind: Kind
    host: str
    keys: Credentials | None = None
    token: str | None = None

    def signed(self, request: Request, *, host: str | None = None, service: str = "s3") -> Request:
        """The request as this caller sends it, to ``host`` if another than its own is given."""
        place = host or self.host
        if self.keys is None:
            more = () if self.token is None else (("Authorization", f"Bearer {self.token}"),)
            return replace(request, headers=(("Host", place), *request.headers, *more))
        # botocore would take a body for parameters of the URL, which signs none
        body = b"" if self.kind is Kind.PRESIGNED else request.body
        aws = AWSRequest(request.method, f"http://{place}{request.target}", dict(request.headers), body)
        aws.headers["Host"] = place
        if service != "s3":
            SigV4Auth(self.keys, service, REGION).add_auth(aws)
        elif self.kind is Kind.PRESIGNED:
            S3SigV4QueryAuth(self.keys, "s3", REGION, expires=600).add_auth(aws)
        else:
            S3SigV4Auth(self.keys, "s3", REGION).add_auth(aws)
        target = aws.url.partition(place)[2]
        return Request(request.method, target, tuple(aws.headers.items()), request.body)
