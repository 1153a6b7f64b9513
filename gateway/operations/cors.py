"""Configuring the cross-origin rules of a bucket: GetBucketCors, PutBucketCors, DeleteBucketCors.

What may be configured: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import configurations
from gateway.metadata.configurations import Kind
from gateway.operations import access
from gateway.operations.cors_rules import METHODS, rules_of
from gateway.operations.services import Services
from gateway.operations.shapes import (
    CORSRule,
    DeleteBucketCorsInput,
    DeleteBucketCorsOutput,
    GetBucketCorsInput,
    GetBucketCorsOutput,
    PutBucketCorsInput,
    PutBucketCorsOutput,
)

MAX_RULES: Final = 100
MAX_ID_CHARACTERS: Final = 255
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


async def get_bucket_cors(services: Services, call: Call, asked: GetBucketCorsInput) -> GetBucketCorsOutput:
    """The rules as they were set."""
    document = await access.require_configuration(services, call, asked.bucket, Kind.CORS, "NoSuchCORSConfiguration")
    return GetBucketCorsOutput(cors_rules=rules_of(document))


async def put_bucket_cors(services: Services, call: Call, asked: PutBucketCorsInput) -> PutBucketCorsOutput:
    """Replace the rules."""
    rules = asked.cors_configuration.cors_rules
    require_valid(rules)
    await configurations.put(services.session, call.scope, asked.bucket, Kind.CORS, _document(rules))
    services.cors_rules.forget(asked.bucket)
    return PutBucketCorsOutput()


async def delete_bucket_cors(services: Services, call: Call, asked: DeleteBucketCorsInput) -> DeleteBucketCorsOutput:
    """Take the rules away; there need not be any."""
    if not await configurations.delete(services.session, call.scope, asked.bucket, Kind.CORS):
        await access.require_bucket(services, call, asked.bucket)
    services.cors_rules.forget(asked.bucket)
    return DeleteBucketCorsOutput()


def require_valid(rules: Sequence[CORSRule]) -> None:
    """Raises StorageError: MalformedXML, InvalidRequest with S3's words."""
    if not rules:
        raise StorageError("MalformedXML")
    if len(rules) > MAX_RULES:
        raise _invalid(f"The number of CORS rules should not exceed allowed limit of {MAX_RULES} rules.")
    for rule in rules:
        if not rule.allowed_methods or not rule.allowed_origins:
            raise StorageError("MalformedXML")
        if rule.id is not None and len(rule.id) > MAX_ID_CHARACTERS:
            raise _invalid(f"The ID of a CORS rule cannot be longer than {MAX_ID_CHARACTERS} characters.")
        for method in rule.allowed_methods:
            if method not in METHODS:
                message = f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:64]}"
                raise _invalid(message)
        for origin in rule.allowed_origins:
            _require_pattern("AllowedOrigin", origin)
        for header in rule.allowed_headers:
            _require_pattern("AllowedHeader", header)
            _require_name("AllowedHeader", header)
        for header in rule.expose_headers:
            if "*" in header:
                raise _invalid(
                    f'ExposeHeader "{header[:256]}" contains wildcard. We currently do not support wildcard for '
                    "ExposeHeader."
                )
            _require_name("ExposeHeader", header)


def _document(rules: Sequence[CORSRule]) -> dict[str, Any]:
    return {"CORSRules": [_rule_document(rule) for rule in rules]}


def _rule_document(rule: CORSRule) -> dict[str, Any]:
    document = {
        "ID": rule.id,
        "AllowedOrigins": list(rule.allowed_origins),
        "AllowedMethods": list(rule.allowed_methods),
        "AllowedHeaders": list(rule.allowed_headers) or None,
        "ExposeHeaders": list(rule.expose_headers) or None,
        "MaxAgeSeconds": rule.max_age_seconds,
    }
    return {name: value for name, value in document.items() if value is not None}


def _require_pattern(element: str, pattern: str) -> None:
    if pattern.count("*") > 1:
        raise _invalid(f'{element} "{pattern[:256]}" can not have more than one wildcard.')


def _require_name(element: str, name: str) -> None:
    if _TOKEN.fullmatch(name) is None:
        raise _invalid(f'{element} "{name[:256]}" contains invalid character.')


def _invalid(message: str) -> StorageError:
    return StorageError("InvalidRequest", message)
