"""The one choke point of authentication: from a request to who sent it and what its body must be.

Every ``AuthKind`` is a case here, checked by mypy; whatever is no case is refused. It runs before the first byte of the
body is read, and asks for a key only when everything that needs no secret has been found in order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, assert_never

import sigv4
from gateway.auth.credentials import ROLES, Credential, Credentials
from gateway.context import ANONYMOUS_ROLE, AuthMethod, Principal, Tenant
from gateway.errors import StorageError
from sigv4 import AuthKind, HttpRequest, Payload, SignatureError, SignedRequest

_SECURITY_TOKEN: Final = b"x-amz-security-token"


@dataclass(frozen=True, slots=True)
class Identity:
    """The verdict: who calls, and how the body is protected."""

    principal: Principal
    payload: Payload


@dataclass(frozen=True, slots=True)
class FormIdentity:
    """The verdict on a browser's form: who calls, its fields by lower-case name, and the sizes in bytes, inclusive,
    that its policy allows the file."""

    principal: Principal
    fields: Mapping[str, str]
    content_length_range: tuple[int, int] | None = None


def utc_now() -> datetime:
    """The clock requests are judged by."""
    return datetime.now(UTC)


class Identify:
    """Authenticates the requests of one tenant. ``roles`` are the Postgres roles a key may act as."""

    def __init__(
        self,
        tenant: Tenant,
        credentials: Credentials,
        clock: Callable[[], datetime] = utc_now,
        roles: frozenset[str] = ROLES,
        *,
        allow_sigv2_post: bool = False,
    ) -> None:
        self._allow_sigv2_post: Final = allow_sigv2_post
        self._tenant: Final = tenant
        self._credentials: Final = credentials
        self._clock: Final = clock
        self._roles: Final = roles

    async def __call__(self, request: HttpRequest) -> Identity:
        """Judge one request.

        Raises StorageError: what ``sigv4`` refuses, InvalidAccessKeyId (unknown, revoked, expired), InvalidToken
        (session tokens are not offered), AccessDenied (a role outside the allow-list), ServiceUnavailable.
        """
        now = self._clock()
        try:
            signed = sigv4.parse(request, region=self._tenant.region, now=now)
            if signed is None:
                return self._anonymous(request)
            match signed.kind:
                case AuthKind.SIGV4_HEADER:
                    method = AuthMethod.SIGV4_HEADER
                case AuthKind.SIGV4_QUERY:
                    method = AuthMethod.SIGV4_QUERY
                case AuthKind.ANONYMOUS:
                    raise StorageError("AccessDenied")
                case _ as unreachable:
                    assert_never(unreachable)
            return await self._signed(request, signed, method, now)
        except SignatureError as error:
            raise storage_error(error) from None

    async def form(self, fields: Sequence[tuple[str, str]], *, bucket: str) -> FormIdentity:
        """Judge the fields of a form that was sent to ``bucket``, variables expanded, the file not read yet.

        Every condition of its policy is met but the size of the file. Raises StorageError: what ``sigv4`` refuses
        (AccessDenied, InvalidPolicyDocument, SignatureDoesNotMatch, InvalidArgument…) and what ``__call__`` raises.
        """
        now = self._clock()
        try:
            named = sigv4.form_fields(fields)
            if _SECURITY_TOKEN.decode() in named:
                raise StorageError("InvalidToken")
            legacy = sigv4.parse_legacy_form(fields) if self._allow_sigv2_post else None
            if legacy is not None:
                credential = await self._credential(legacy.access_key_id, now)
                policy = sigv4.verify_legacy_form(legacy, credential.secret, bucket=bucket, now=now)
            else:
                signed = sigv4.parse_form(fields, region=self._tenant.region)
                if signed is None:
                    return FormIdentity(self._nobody(), named)
                credential = await self._credential(signed.access_key_id, now)
                policy = sigv4.verify_form(signed, credential.secret, bucket=bucket, now=now)
        except SignatureError as error:
            raise storage_error(error) from None
        principal = self._principal(credential, AuthMethod.POST_POLICY)
        return FormIdentity(principal, named, policy.content_length_range)

    def _anonymous(self, request: HttpRequest) -> Identity:
        if any(name == _SECURITY_TOKEN for name, _ in request.headers):
            raise StorageError("InvalidToken")
        return Identity(self._nobody(), sigv4.anonymous_payload(request))

    def _nobody(self) -> Principal:
        return Principal(self._tenant.id, ANONYMOUS_ROLE, AuthMethod.ANONYMOUS)

    async def _signed(self, request: HttpRequest, signed: SignedRequest, method: AuthMethod, now: datetime) -> Identity:
        if signed.session_token is not None:
            raise StorageError("InvalidToken")
        credential = await self._credential(signed.access_key_id, now)
        payload = sigv4.verify(request, signed, credential.secret)
        return Identity(self._principal(credential, method), payload)

    async def _credential(self, access_key_id: str, now: datetime) -> Credential:
        credential = await self._credentials.find(access_key_id)
        if credential is None or (credential.expires_at is not None and credential.expires_at <= now):
            raise StorageError("InvalidAccessKeyId", AWSAccessKeyId=access_key_id)
        return credential

    def _principal(self, credential: Credential, method: AuthMethod) -> Principal:
        # A key that is narrowed must not be let in as if it were not: who enforces that hands it on here.
        if credential.role not in self._roles or credential.is_narrowed:
            raise StorageError("AccessDenied")
        return Principal(
            self._tenant.id,
            credential.role,
            method,
            credential.subject,
            credential.claims,
            credential.access_key_id,
            credential.display_name,
        )


def storage_error(error: SignatureError) -> StorageError:
    """A refusal of ``sigv4``, which knows no catalogue, as the gateway's own exception."""
    return StorageError(error.code, error.message, **error.fields)
