"""Browser forms signed the way of Signature Version 2, for old pages that still make them.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/HTTPPOSTExamples.html, "File upload" with
``AWSAccessKeyId`` and ``signature``: base64 of HMAC-SHA1 over the base64 policy as sent. Nothing but forms may be
signed so, and only where an operator allows it.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sigv4.errors import SIGNATURE_DOES_NOT_MATCH, SignatureError, invalid_argument, shown
from sigv4.post_policy import FIELDS as SIGV4_FIELDS
from sigv4.post_policy import MAX_POLICY_BYTES, PostPolicy, check_policy, form_fields, parse_policy

FIELDS: Final = ("awsaccesskeyid", "policy", "signature")
_SHOWN_NAMES: Final = {"awsaccesskeyid": "AWSAccessKeyId"}


@dataclass(frozen=True, slots=True)
class LegacyForm:
    """A form that claims to be signed: complete, but nothing is proven until ``verify_legacy_form`` returned."""

    access_key_id: str
    policy: bytes
    signature: bytes = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)


def parse_legacy_form(fields: Sequence[tuple[str, str]]) -> LegacyForm | None:
    """Every check that needs no secret; None for a form without the fields that mark this kind.

    Raises SignatureError: InvalidArgument (a field is missing or given twice), InvalidRequest (both kinds at once).
    """
    named = form_fields(fields)
    if "awsaccesskeyid" not in named and "signature" not in named:
        return None
    if any(name in named for name in SIGV4_FIELDS if name not in FIELDS):
        raise SignatureError("InvalidRequest", "A form can be signed in one way only.")
    for name in FIELDS:
        if not named.get(name):
            label = _SHOWN_NAMES.get(name, name)
            raise invalid_argument(
                label,
                f"Bucket POST must contain a field named '{label}'.  If it is specified, please check the order of the "
                "fields.",
            )
    return LegacyForm(
        named["awsaccesskeyid"],
        named["policy"].encode("utf-8", "replace"),
        named["signature"].encode("utf-8", "replace"),
        named,
    )


def verify_legacy_form(form: LegacyForm, secret: str, *, bucket: str, now: datetime) -> PostPolicy:
    """Compare the signature in constant time, then hold the form against its policy.

    Raises SignatureError: SignatureDoesNotMatch, InvalidPolicyDocument, AccessDenied.
    """
    expected = base64.b64encode(hmac.digest(secret.encode(), form.policy, hashlib.sha1))
    if not hmac.compare_digest(expected, form.signature):
        fields = {
            "AWSAccessKeyId": shown(form.access_key_id.encode("utf-8", "replace")),
            "StringToSign": shown(form.policy, MAX_POLICY_BYTES * 2),
        }
        raise SignatureError("SignatureDoesNotMatch", SIGNATURE_DOES_NOT_MATCH, fields)
    policy = parse_policy(form.policy)
    check_policy(policy, form.fields, bucket=bucket, now=now)
    return policy
