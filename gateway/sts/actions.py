"""What STS can do here: exchange a user's token, or an access key, for temporary credentials that can do no more.

The role of an ARN is a Postgres role: ``arn:aws:iam::000000000000:role/authenticated``. A user's token names its role
itself, so the ARN must say the same one. An access key may take its own role, and ``service_role`` any other, for the
user named by ``SourceIdentity``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from gateway.auth import session_policy
from gateway.auth.bearer import TokenVerifier
from gateway.auth.credentials import ROLES
from gateway.auth.identify import utc_now
from gateway.auth.jwt import TokenPrincipal
from gateway.auth.temporary import TemporaryKey, TemporaryKeys, TemporarySession, is_temporary
from gateway.context import SERVICE_ROLE, AuthMethod, Principal, Tenant
from gateway.errors import StorageError
from gateway.sts.errors import StsError, invalid

_log = structlog.get_logger(__name__)

ACCOUNT: Final = "000000000000"
MIN_SECONDS: Final = 900
MAX_ROLE_SECONDS: Final = 12 * 60 * 60
MAX_SESSION_SECONDS: Final = 36 * 60 * 60
DEFAULT_ROLE_SECONDS: Final = 60 * 60
DEFAULT_SESSION_SECONDS: Final = 12 * 60 * 60

_ROLE_ARN: Final = re.compile(r"arn:aws:(?:iam|sts)::(?:[0-9]{12})?:role/(?:[\x21-\x7e]*/)?([A-Za-z0-9_+=,.@-]{1,64})")
_SESSION_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")

Parameters = Mapping[str, str]
# Elements of an answer: a text, or elements within.
Elements = Mapping[str, "str | Elements"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters that actions share, checked."""

    session_name: str
    seconds: int
    role: str | None = None
    policy: str | None = field(default=None, repr=False)


class Actions:
    """The actions of one tenant. Each takes the parameters and the caller, raises StsError or StorageError, and
    returns the elements of its result."""

    def __init__(
        self,
        tenant: Tenant,
        tokens: TokenVerifier,
        temporary_keys: TemporaryKeys,
        clock: Callable[[], datetime] = utc_now,
        roles: frozenset[str] = ROLES,
    ) -> None:
        self._tenant: Final = tenant
        self._tokens: Final = tokens
        self._temporary_keys: Final = temporary_keys
        self._clock: Final = clock
        self._roles: Final = roles

    async def assume_role_with_web_identity(self, parameters: Parameters, caller: Principal) -> Elements:
        """Credentials for the user of a JWT; the request is not signed
        (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html)."""
        asked = _asked_role(parameters, allowed={"WebIdentityToken"})
        # SDKs send a token file as it is, and files end in a newline.
        user = await self._user(_required(parameters, "WebIdentityToken").strip())
        if asked.role != user.role:
            raise _not_authorized("AssumeRoleWithWebIdentity")
        key = self._issue(asked, role=user.role, subject=user.subject, claims=user.claims)
        elements: dict[str, str | Elements] = {"SubjectFromWebIdentityToken": user.subject or ""}
        if isinstance(issuer := user.claims.get("iss"), str):
            elements["Provider"] = issuer
        if isinstance(audience := user.claims.get("aud"), str):
            elements["Audience"] = audience
        return {**_assumed(asked, key), **elements}

    async def assume_role(self, parameters: Parameters, caller: Principal) -> Elements:
        """Credentials for the caller's own role, or, asked by ``service_role``, for a user of any role
        (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html)."""
        asked = _asked_role(parameters, allowed={"ExternalId", "SourceIdentity"})
        parent = _access_key_of(caller)
        subject = parameters.get("SourceIdentity")
        if asked.role == caller.role:
            if subject is not None:
                raise invalid("SourceIdentity names the user of another role than the caller's own.")
            return _assumed(asked, self._issue(asked, parent=parent))
        if caller.role != SERVICE_ROLE or asked.role not in self._roles:
            raise _not_authorized("AssumeRole")
        if subject is not None and _SESSION_NAME.fullmatch(subject) is None:
            raise invalid("SourceIdentity has 2 to 64 letters, digits or characters of _+=,.@-")
        return _assumed(asked, self._issue(asked, parent=parent, role=asked.role, subject=subject))

    async def get_session_token(self, parameters: Parameters, caller: Principal) -> Elements:
        """Credentials that are what the caller's access key is
        (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html)."""
        _refuse_unknown(parameters, {"DurationSeconds"})
        seconds = _seconds(parameters, MAX_SESSION_SECONDS, DEFAULT_SESSION_SECONDS)
        parent = _access_key_of(caller)
        return {"Credentials": _credentials(self._issue(Asked("GetSessionToken", seconds), parent=parent))}

    async def get_caller_identity(self, parameters: Parameters, caller: Principal) -> Elements:
        """Who signed the request (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html)."""
        _refuse_unknown(parameters, set())
        _require_signature(caller)
        key_id = caller.access_key_id
        name = caller.subject or key_id or caller.role
        is_lasting = key_id is not None and not is_temporary(key_id)
        place = f"iam::{ACCOUNT}:user" if is_lasting else f"sts::{ACCOUNT}:assumed-role/{caller.role}"
        return {"Arn": f"arn:aws:{place}/{name}", "UserId": name, "Account": ACCOUNT}

    async def _user(self, token: str) -> TokenPrincipal:
        try:
            return await self._tokens.verify(token)
        except StorageError as error:
            if error.code.name == "InvalidToken":
                raise StsError("InvalidIdentityToken", "The web identity token is not valid.") from None
            if error.code.name == "ServiceUnavailable":
                raise StsError("IDPCommunicationError", "The issuer's keys cannot be fetched. Try again.") from None
            if error.code.name == "AccessDenied":
                raise _not_authorized("AssumeRoleWithWebIdentity") from None
            raise

    def _issue(
        self,
        asked: Asked,
        *,
        parent: str | None = None,
        role: str | None = None,
        subject: str | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> TemporaryKey:
        expires_at = self._clock() + timedelta(seconds=asked.seconds)
        key = self._temporary_keys.issue(
            TemporarySession(
                self._tenant.id, asked.session_name, expires_at, parent, role, subject, claims or {}, asked.policy
            )
        )
        _log.info(
            "temporary_credentials_issued",
            access_key_id=key.access_key_id,
            parent=parent,
            role=role,
            subject=subject,
            session_name=asked.session_name,
            expires_at=key.expires_at.isoformat(),
        )
        return key


def _asked_role(parameters: Parameters, *, allowed: set[str]) -> Asked:
    _refuse_unknown(parameters, {"RoleArn", "RoleSessionName", "DurationSeconds", "Policy", *allowed})
    arn = _ROLE_ARN.fullmatch(_required(parameters, "RoleArn"))
    if arn is None:
        raise invalid(f"RoleArn must be like arn:aws:iam::{ACCOUNT}:role/authenticated.")
    name = _required(parameters, "RoleSessionName")
    if _SESSION_NAME.fullmatch(name) is None:
        raise invalid("RoleSessionName has 2 to 64 letters, digits or characters of _+=,.@-")
    seconds = _seconds(parameters, MAX_ROLE_SECONDS, DEFAULT_ROLE_SECONDS)
    policy = parameters.get("Policy")
    if policy is not None:
        if len(policy) > session_policy.MAX_POLICY_CHARACTERS:
            raise StsError(
                "PackedPolicyTooLarge", f"A policy has at most {session_policy.MAX_POLICY_CHARACTERS} characters."
            )
        try:
            session_policy.parse(policy)
        except session_policy.MalformedPolicy as error:
            raise StsError("MalformedPolicyDocument", str(error)) from None
    return Asked(name, seconds, arn.group(1), policy)


def _seconds(parameters: Parameters, most: int, default: int) -> int:
    text = parameters.get("DurationSeconds")
    if text is None:
        return default
    if _SECONDS.fullmatch(text) is None or not MIN_SECONDS <= int(text) <= most:
        raise invalid(f"DurationSeconds must be {MIN_SECONDS} to {most}.")
    return int(text)


def _required(parameters: Parameters, name: str) -> str:
    value = parameters.get(name)
    if not value:
        raise invalid(f"{name} is required.")
    return value


def _refuse_unknown(parameters: Parameters, known: set[str]) -> None:
    """Refuse what would change the meaning if it were ignored, such as managed policies, tags and MFA."""
    # A query's signature is among its parameters.
    unknown = [name for name in parameters if name not in known and not name.lower().startswith("x-amz-")]
    if unknown:
        raise invalid(f"The parameter {min(unknown)[:100]!r} is not supported.")


def _require_signature(caller: Principal) -> None:
    if caller.method is AuthMethod.ANONYMOUS:
        raise StsError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)


def _access_key_of(caller: Principal) -> str:
    """The caller's stored key: credentials that last must not grow out of those that end."""
    _require_signature(caller)
    if caller.access_key_id is None or is_temporary(caller.access_key_id):
        raise StsError("AccessDenied", "Cannot be called with session credentials", 403)
    return caller.access_key_id


def _not_authorized(action: str) -> StsError:
    return StsError("AccessDenied", f"Not authorized to perform sts:{action}", 403)


def _assumed(asked: Asked, key: TemporaryKey) -> dict[str, "str | Elements"]:
    size = 0 if asked.policy is None else max(1, len(asked.policy) * 100 // session_policy.MAX_POLICY_CHARACTERS)
    return {
        "Credentials": _credentials(key),
        "AssumedRoleUser": {
            "AssumedRoleId": f"{key.access_key_id}:{asked.session_name}",
            "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{asked.role}/{asked.session_name}",
        },
        "PackedPolicySize": str(size),
    }


def _credentials(key: TemporaryKey) -> Elements:
    return {
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret_access_key,
        "SessionToken": key.session_token,
        "Expiration": key.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
