"""AWS Signature Version 4 for S3, seen from the server: pure, without I/O and without a clock.

``parse`` and ``verify`` judge a request, ``Payload.decoder`` reads aws-chunked bodies, ``parse_form`` and
``verify_form`` judge browser uploads. Everything refused is a ``SignatureError`` with an S3 error code's name.
"""

from sigv4.authorization import Credential
from sigv4.canonical import HttpRequest
from sigv4.chunked import ChunkDecoder
from sigv4.errors import SignatureError
from sigv4.legacy_form import LegacyForm, parse_legacy_form, verify_legacy_form
from sigv4.payload import Payload, PayloadMode, anonymous_payload
from sigv4.post_policy import PostPolicy, SignedForm, form_fields, parse_form, verify_form
from sigv4.signing import Scope
from sigv4.verification import AuthKind, SignedRequest, classify, parse, verify

__all__ = [
    "AuthKind",
    "ChunkDecoder",
    "Credential",
    "HttpRequest",
    "LegacyForm",
    "Payload",
    "PayloadMode",
    "PostPolicy",
    "Scope",
    "SignatureError",
    "SignedForm",
    "SignedRequest",
    "anonymous_payload",
    "classify",
    "form_fields",
    "parse",
    "parse_form",
    "parse_legacy_form",
    "verify",
    "verify_form",
    "verify_legacy_form",
]
