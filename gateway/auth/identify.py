"""The one choke point of authentication: from a request to who sent it and what its body must be.

Every ``AuthKind`` is a case here, checked by mypy; whatever is no case is refused. It runs before the first byte of the
body is read, and asks for a key only when everything that needs no secret has been found in order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final, assert_never

import sigv4
from gateway.auth import session_policy
from gateway.auth.bearer import TokenVerifier
from gateway.auth.credentials import ROLES, Credential, Credentials
from gateway.auth.temporary import TemporaryKeys, TemporarySession, is_temporary
from gateway.context import ANONYMOUS_ROLE, SERVICE_ROLE, AuthMethod, Principal, Tenant
from gateway.errors import StorageError
from sigv4 import AuthKind, HttpRequest, Payload, SignatureError, SignedRequest

_SECURITY_TOKEN: Final = b"x-amz-security-token"


class CredentialKind(Enum):
    """What a signature is made with: a stored key, temporary credentials, or a user's token beside the tenant's id and
    anon key (Supabase's session tokens)."""

    ACCESS_KEY = "access-key"
    TEMPORARY = "temporary"
    USER_TOKEN = "user-token"  # noqa: S105 - the name of a kind


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
    """Authenticates the requests of one tenant. ``roles`` are the Postgres roles a key may act as.

    Without ``tokens`` no user's token is accepted, without ``anon_key`` none in a signed request, and without
    ``temporary_keys`` no temporary credentials. ``session_key_id`` is what signs beside a user's token (default: the
    tenant's id).
    """

    def __init__(
        self,
        tenant: Tenant,
        credentials: Credentials,
        clock: Callable[[], datetime] = utc_now,
        roles: frozenset[str] = ROLES,
        *,
        tokens: TokenVerifier | None = None,
        anon_key: str | None = None,
        temporary_keys: TemporaryKeys | None = None,
        allow_sigv2_post: bool = False,
        session_key_id: str | None = None,
    ) -> None:
        self._tokens: Final = tokens
        self._anon_key: Final = anon_key
        self._temporary_keys: Final = temporary_keys
        self._allow_sigv2_post: Final = allow_sigv2_post
        self._tenant: Final = tenant
        self._session_key_id: Final = session_key_id or tenant.id
        self._credentials: Final = credentials
        self._clock: Final = clock
        self._roles: Final = roles
        self._nobody: Final = Principal(tenant.id, ANONYMOUS_ROLE, AuthMethod.ANONYMOUS)

    async def __call__(self, request: HttpRequest) -> Identity:
        """Judge one request.

        Raises StorageError: what ``sigv4`` refuses, InvalidAccessKeyId (unknown, revoked, expired), InvalidToken,
        ExpiredToken, AccessDenied (a role outside the allow-list), ServiceUnavailable.
        """
        now = self._clock()
        try:
            signed = sigv4.parse(request, region=self._tenant.region, now=now)
            if signed is None:
                return self._anonymous(request)
            return await self._signed(request, signed, _method(signed.kind), now)
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
            token = named.get(_SECURITY_TOKEN.decode())
            legacy = sigv4.parse_legacy_form(fields) if self._allow_sigv2_post else None
            if legacy is not None:
                principal, secret = await self._holder(legacy.access_key_id, token, AuthMethod.POST_POLICY, now)
                policy = sigv4.verify_legacy_form(legacy, secret, bucket=bucket, now=now)
            else:
                signed = sigv4.parse_form(fields, region=self._tenant.region)
                if signed is None and token is not None:
                    raise StorageError("InvalidToken")
                if signed is None:
                    return FormIdentity(self._nobody, named)
                principal, secret = await self._holder(signed.access_key_id, token, AuthMethod.POST_POLICY, now)
                policy = sigv4.verify_form(signed, secret, bucket=bucket, now=now)
        except SignatureError as error:
            raise storage_error(error) from None
        return FormIdentity(principal, named, policy.content_length_range)

    async def service(self, request: HttpRequest, service: str, body_sha256: bytes) -> Principal:
        """Judge a request to another service than S3, such as ``sts``, whose body has been read: nobody for an unsigned
        one. ``body_sha256`` is in hex. Raises what ``__call__`` raises."""
        now = self._clock()
        try:
            signed = sigv4.parse(request, region=self._tenant.region, now=now, service=service, body_sha256=body_sha256)
            if signed is None:
                return self._nobody
            return (await self._signed(request, signed, _method(signed.kind), now)).principal
        except SignatureError as error:
            raise storage_error(error) from None

    async def bearer(self, token: str | None) -> Principal:
        """Judge a user's JWT (RFC 6750), without which the caller is anonymous.

        Raises StorageError: InvalidToken, ExpiredToken, AccessDenied (a role outside the allow-list),
        ServiceUnavailable (the issuer's keys cannot be had).
        """
        return self._nobody if token is None else await self._user(token, AuthMethod.BEARER)

    async def _user(self, token: str, method: AuthMethod) -> Principal:
        if self._tokens is None:
            raise StorageError("InvalidToken")
        user = await self._tokens.verify(token)
        return Principal(self._tenant.id, user.role, method, user.subject, user.claims)

    def _anonymous(self, request: HttpRequest) -> Identity:
        if any(name == _SECURITY_TOKEN for name, _ in request.headers):
            raise StorageError("InvalidToken")
        return Identity(self._nobody, sigv4.anonymous_payload(request))

    async def _signed(self, request: HttpRequest, signed: SignedRequest, method: AuthMethod, now: datetime) -> Identity:
        if signed.session_token is None:
            credential = await self._credential(signed.access_key_id, now)
            payload = sigv4.verify(request, signed, credential.secret)
            return Identity(self._principal(credential, method), payload)
        principal, secret = await self._holder(signed.access_key_id, signed.session_token, method, now)
        return Identity(principal, sigv4.verify(request, signed, secret))

    async def _holder(
        self, access_key_id: str, token: str | None, method: AuthMethod, now: datetime
    ) -> tuple[Principal, str]:
        """Who signs with this key id and session token, and the secret it must have been signed with."""
        match _kind(access_key_id, token):
            case CredentialKind.ACCESS_KEY:
                credential = await self._credential(access_key_id, now)
                return self._principal(credential, method), credential.secret
            case CredentialKind.TEMPORARY:
                return await self._temporary(access_key_id, token or "", method, now)
            case CredentialKind.USER_TOKEN:
                if self._anon_key is None or access_key_id != self._session_key_id:
                    raise StorageError("InvalidToken")
                return await self._user(token or "", method), self._anon_key
            case _ as unreachable:
                assert_never(unreachable)

    async def _temporary(
        self, access_key_id: str, token: str, method: AuthMethod, now: datetime
    ) -> tuple[Principal, str]:
        """The holder of temporary credentials: a user, or the access key they were asked for with, as it is now."""
        if self._temporary_keys is None:
            raise StorageError("InvalidToken")
        session, secret = self._temporary_keys.open(access_key_id, token)
        if session.tenant_id != self._tenant.id:
            raise StorageError("InvalidToken")
        if session.expires_at <= now:
            raise StorageError("ExpiredToken")
        if session.parent is None:
            role = session.role or ANONYMOUS_ROLE
            holder = Principal(self._tenant.id, role, method, session.subject, session.claims)
        else:
            holder = assumed(self._principal(await self._credential(session.parent, now), method), session)
        if holder.role not in self._roles:
            raise StorageError("AccessDenied")
        policy = () if session.policy is None else (session_policy.parse(session.policy),)
        return replace(holder, access_key_id=access_key_id, restrictions=(*holder.restrictions, *policy)), secret

    async def _credential(self, access_key_id: str, now: datetime) -> Credential:
        credential = await self._credentials.find(access_key_id)
        if credential is None or (credential.expires_at is not None and credential.expires_at <= now):
            raise StorageError("InvalidAccessKeyId", AWSAccessKeyId=access_key_id)
        return credential

    def _principal(self, credential: Credential, method: AuthMethod) -> Principal:
        if credential.role not in self._roles:
            raise StorageError("AccessDenied")
        principal = credential.principals.get(method)
        if principal is None:
            principal = credential.principals[method] = Principal(
                self._tenant.id,
                credential.role,
                method,
                credential.subject,
                credential.claims,
                credential.access_key_id,
                credential.display_name,
                credential.restrictions,
            )
        return principal


def assumed(parent: Principal, session: TemporarySession) -> Principal:
    """The parent, or whom its session named instead, which only ``service_role`` may do.

    Raises StorageError(AccessDenied): the parent is not what it was when the credentials were issued.
    """
    if session.role is None or session.role == parent.role:
        return parent
    if parent.role != SERVICE_ROLE:
        raise StorageError("AccessDenied")
    return replace(parent, role=session.role, subject=session.subject, claims=session.claims, display_name=None)


def _method(kind: AuthKind) -> AuthMethod:
    match kind:
        case AuthKind.SIGV4_HEADER:
            return AuthMethod.SIGV4_HEADER
        case AuthKind.SIGV4_QUERY:
            return AuthMethod.SIGV4_QUERY
        case AuthKind.ANONYMOUS:
            raise StorageError("AccessDenied")
        case _ as unreachable:
            assert_never(unreachable)


def _kind(access_key_id: str, token: str | None) -> CredentialKind:
    if token is None:
        return CredentialKind.ACCESS_KEY
    return CredentialKind.TEMPORARY if is_temporary(access_key_id) else CredentialKind.USER_TOKEN


def storage_error(error: SignatureError) -> StorageError:
    """A refusal of ``sigv4``, which knows no catalogue, as the gateway's own exception."""
    return StorageError(error.code, error.message, **error.fields)
