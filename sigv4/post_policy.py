"""Browser uploads: a form whose policy document is signed.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html. The signature is over the
base64 text exactly as sent. Field names and condition operators are compared without case; variables such as
``${filename}`` must have been expanded by the caller, because S3 expands them before it validates the policy.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sigv4 import signing
from sigv4.authorization import Credential, Source, is_hex_signature, parse_credential
from sigv4.errors import SIGNATURE_DOES_NOT_MATCH, SignatureError, invalid_argument, shown

MAX_POLICY_BYTES: Final = 20 * 1024  # S3's limit for everything before the file
FIELDS: Final = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_SIGV2_FIELDS: Final = ("awsaccesskeyid", "signature")
_UNCHECKED: Final = frozenset(("file", "policy", "x-amz-signature", *_SIGV2_FIELDS))
# A checksum can only make an upload fail, so a page may send one its policy did not foresee.
_UNCHECKED_PREFIXES: Final = ("x-ignore-", "x-amz-checksum-")


@dataclass(frozen=True, slots=True)
class SignedForm:
    """A form that claims to be signed: consistent, but nothing is proven until ``verify_form`` returned."""

    credential: Credential
    timestamp: bytes
    policy: bytes
    signature: bytes = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)

    @property
    def access_key_id(self) -> str:
        """Whose secret ``verify_form`` needs."""
        return self.credential.access_key_id


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one field. ``name`` is lower-case."""

    operator: Literal["eq", "starts-with"]
    name: str
    value: str

    def holds(self, given: str) -> bool:
        """Whether a field's value passes. A list of content types passes when each of them does."""
        if self.operator == "eq":
            return given == self.value
        if self.name == "content-type":
            return all(part.strip().startswith(self.value) for part in given.split(","))
        return given.startswith(self.value)


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """A decoded policy. ``content_length_range`` is inclusive, in bytes of the file, and for the caller to enforce."""

    expiration: datetime
    conditions: tuple[Condition, ...]
    content_length_range: tuple[int, int] | None


def form_fields(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The fields before ``file`` by lower-case name. Raises InvalidArgument when one is given twice."""
    named: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        if key in named:
            raise invalid_argument(shown(_bytes(name)), "A form field is given more than once.")
        named[key] = value
    return named


def parse_form(fields: Sequence[tuple[str, str]], *, region: str) -> SignedForm | None:
    """Every check that needs no secret; None for a form without any authentication field (anonymous).

    Raises SignatureError: InvalidArgument, InvalidRequest (SigV2), InvalidAccessKeyId, NotImplemented (SigV4A).
    """
    named = form_fields(fields)
    if any(name in named for name in _SIGV2_FIELDS):
        message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        raise SignatureError("InvalidRequest", message)
    if not any(name in named for name in FIELDS):
        return None
    for name in FIELDS:
        if not named.get(name):
            raise invalid_argument(
                name,
                f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the "
                "fields.",
            )
    if named["x-amz-algorithm"].startswith("AWS4-ECDSA"):
        raise SignatureError("NotImplemented", "SigV4A (AWS4-ECDSA-P256-SHA256) is not supported.")
    if _bytes(named["x-amz-algorithm"]) != signing.ALGORITHM:
        raise invalid_argument("x-amz-algorithm", 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
    timestamp = _bytes(named["x-amz-date"])
    if signing.parse_timestamp(timestamp) is None:
        raise invalid_argument("x-amz-date", "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    credential = parse_credential(_bytes(named["x-amz-credential"]), region=region, source=Source.FORM)
    if credential.scope.date.encode() != timestamp[:8]:
        raise invalid_argument("x-amz-credential", "The date in the credential is not the same as X-Amz-Date.")
    return SignedForm(credential, timestamp, _bytes(named["policy"]), _bytes(named["x-amz-signature"]), named)


def verify_form(form: SignedForm, secret: str, *, bucket: str, now: datetime) -> PostPolicy:
    """Compare the signature, then hold the form against its policy. ``bucket`` is the one the URL addresses.

    Raises SignatureError: SignatureDoesNotMatch, InvalidPolicyDocument, AccessDenied.
    """
    scope = form.credential.scope
    key = signing.signing_key(secret, scope.date, scope.region, scope.service)
    if not signing.matches(signing.sign(key, form.policy), form.signature):
        fields = {"AWSAccessKeyId": form.access_key_id, "StringToSign": shown(form.policy, MAX_POLICY_BYTES * 2)}
        if is_hex_signature(form.signature):
            fields["SignatureProvided"] = form.signature.decode("ascii")
        raise SignatureError("SignatureDoesNotMatch", SIGNATURE_DOES_NOT_MATCH, fields)
    policy = parse_policy(form.policy)
    check_policy(policy, form.fields, bucket=bucket, now=now)
    return policy


def parse_policy(encoded: bytes) -> PostPolicy:
    """Decode a policy document. Raises SignatureError (InvalidPolicyDocument)."""
    if len(encoded) > MAX_POLICY_BYTES * 4 // 3 + 4:
        raise _invalid("the policy is too large.")
    try:
        text = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise _invalid("invalid Base64 encoding.") from None
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    if "expiration" not in document:
        raise _invalid("Policy missing expiration.")
    if "conditions" not in document:
        raise _invalid("Policy missing conditions.")
    if len(document) != 2:
        raise _invalid("Unexpected element in the policy.")
    if not isinstance(document["conditions"], list):
        raise _invalid("Invalid 'conditions' value: must be a List.")
    conditions: list[Condition] = []
    bounds: tuple[int, int] | None = None
    for item in document["conditions"]:
        if _operator(item) == "content-length-range":
            low, high = _range(item)
            # Several ranges all have to hold.
            bounds = (low, high) if bounds is None else (max(bounds[0], low), min(bounds[1], high))
        else:
            conditions.append(_condition(item))
    return PostPolicy(_expiration(document["expiration"]), tuple(conditions), bounds)


def check_policy(policy: PostPolicy, fields: Mapping[str, str], *, bucket: str, now: datetime) -> None:
    """Hold fields (lower-case names) against a policy: each condition is met, each field is covered by one.

    The bucket of the URL counts as the field ``bucket``. Raises SignatureError (AccessDenied).
    """
    if now > policy.expiration:
        raise _denied("Policy expired.")
    given = {**fields, "bucket": bucket}
    if fields.get("bucket", bucket) != bucket:
        raise _denied('Policy Condition failed: ["eq", "$bucket"]')
    covered: set[str] = set()
    for condition in policy.conditions:
        covered.add(condition.name)
        value = given.get(condition.name)
        if value is None or not condition.holds(value):
            test = f'["{condition.operator}", "${condition.name}", "{condition.value}"]'
            raise _denied(f"Policy Condition failed: {test}")
    covered |= _UNCHECKED
    extra = [name for name in given if name not in covered and not name.startswith(_UNCHECKED_PREFIXES)]
    if extra:
        raise _denied(f"Extra input fields: {', '.join(extra)}")


def _bytes(text: str) -> bytes:
    """UTF-8; a lone surrogate (bytes that were no UTF-8) becomes ``?`` and so can match nothing."""
    return text.encode("utf-8", "replace")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name is given twice")
    return document


def _expiration(value: object) -> datetime:
    moment = None
    if isinstance(value, str) and value.endswith("Z") and "T" in value:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if moment is None:
        raise _invalid(f"Invalid 'expiration' value: '{value if isinstance(value, str) else ''}'")
    return moment.astimezone(UTC)


def _operator(item: object) -> str | None:
    if isinstance(item, list) and item and isinstance(item[0], str):
        return item[0].lower()
    return None


def _condition(item: object) -> Condition:
    if isinstance(item, dict):
        if len(item) != 1:
            raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        ((name, value),) = item.items()
        if not isinstance(value, str):
            raise _invalid("Invalid Simple-Condition: value must be a string.")
        return Condition("eq", name.lower(), value)
    if not isinstance(item, list):
        raise _invalid("Invalid condition test: must be a List or Object.")
    operator = _operator(item)
    if operator is None:
        raise _invalid("Invalid Condition: missing operation identifier.")
    if operator not in ("eq", "starts-with"):
        raise _invalid(f"Invalid Condition: unknown operation '{operator}'.")
    if len(item) != 3:
        raise _invalid(f"Invalid {operator}: wrong number of arguments.")
    _, name, value = item
    if not isinstance(name, str) or not isinstance(value, str) or not name.startswith("$") or len(name) < 2:
        raise _invalid(f"Invalid {operator}: a field name and a string are needed.")
    return Condition("eq" if operator == "eq" else "starts-with", name[1:].lower(), value)


def _range(item: list[Any]) -> tuple[int, int]:
    if len(item) != 3:
        raise _invalid("Invalid content-length-range: wrong number of arguments.")
    low, high = (_size(value) for value in item[1:])
    if low > high:
        raise _invalid("Invalid content-length-range: the minimum is above the maximum.")
    return low, high


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    raise _invalid("Invalid content-length-range: a size in bytes is needed.")


def _invalid(message: str) -> SignatureError:
    return SignatureError("InvalidPolicyDocument", shown(_bytes(f"Invalid Policy: {message}"), 512))


def _denied(message: str) -> SignatureError:
    text = shown(_bytes(f"Invalid according to Policy: {message}"), 1024)
    return SignatureError("AccessDenied", text)
