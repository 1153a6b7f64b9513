"""What S3's access model asks about a request, as the JSON that policies read in ``rowlock.s3_request``.

``{"bucket", "values": {condition key in lower case: [values]}, "listing": {…}, "version": true}``. ``listing`` holds
values for the question whether the caller may list, which arises when a key was not found; ``version`` is there when
the request names a version, for that is another action. Made for the roles that the model binds; the others need none.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.context import (
    ACCOUNT_ROLE,
    ANONYMOUS_ROLE,
    Address,
    AuthMethod,
    BucketAddress,
    ObjectAddress,
    Principal,
    Tenant,
)

_BOUND_ROLES: Final = frozenset({ACCOUNT_ROLE, ANONYMOUS_ROLE})
# Headers that condition keys are named after, besides those whose name starts with x-amz-.
_HEADERS: Final = {
    "referer": "aws:referer",
    "user-agent": "aws:useragent",
    "if-match": "s3:if-match",
    "if-none-match": "s3:if-none-match",
}
_PREFIX: Final = "x-amz-"
# Never shown: credentials, and what is the request's own business.
_HIDDEN: Final = re.compile(r"x-amz-(meta-|security-token|.*customer-key(-md5)?$|date$|mfa$)")
_AUTH_TYPES: Final = {AuthMethod.SIGV4_HEADER: "REST-HEADER", AuthMethod.SIGV4_QUERY: "REST-QUERY-STRING"}


def access_request_json(
    principal: Principal,
    tenant: Tenant,
    address: Address,
    fields: Mapping[str, Any],
    headers: Mapping[str, str],
    client_address: str,
    *,
    secure: bool,
) -> str:
    """The JSON; empty for a principal that S3's model does not bind. ``headers`` have lower-case names."""
    if principal.role not in _BOUND_ROLES:
        return ""
    values = _of_headers(headers)
    values["aws:securetransport"] = ["true" if secure else "false"]
    values["aws:requestedregion"] = [tenant.region]
    account = principal.subject if principal.role == ACCOUNT_ROLE else None
    values["aws:principaltype"] = ["Anonymous" if account is None else "Account"]
    now = datetime.now(UTC)
    values["aws:currenttime"] = [now.isoformat()]
    values["aws:epochtime"] = [str(int(now.timestamp()))]
    if _is_address(client_address):
        values["aws:sourceip"] = [client_address]
    if account is not None:
        values["aws:username"] = values["aws:userid"] = values["aws:principalaccount"] = [account]
        values["aws:principalarn"] = [f"arn:aws:iam::{account}:root"]
    if (auth_type := _AUTH_TYPES.get(principal.method)) is not None:
        values["s3:authtype"] = [auth_type]
        values["s3:signatureversion"] = ["AWS4-HMAC-SHA256"]
    values |= _of_fields(fields)
    request: dict[str, Any] = {"values": values}
    if isinstance(address, BucketAddress | ObjectAddress):
        request["bucket"] = address.bucket
    if isinstance(address, ObjectAddress):
        request["listing"] = {"s3:prefix": [address.key]}
    if _names_version(fields):
        request["version"] = True
    # Postgres's text has no NUL; a value with one fits no condition.
    return json.dumps(request, ensure_ascii=False).replace("\\u0000", "\\ufffd")


def _of_headers(headers: Mapping[str, str]) -> dict[str, list[str]]:
    values = {}
    for name, value in headers.items():
        if name.startswith(_PREFIX):
            if _HIDDEN.match(name) is None:
                values[f"s3:{name}"] = [value]
        elif (key := _HEADERS.get(name)) is not None:
            values[key] = [value]
    if (legal_hold := values.pop("s3:x-amz-object-lock-legal-hold", None)) is not None:
        values["s3:object-lock-legal-hold"] = legal_hold
    for name in ("mode", "retain-until-date"):
        if (found := values.pop(f"s3:x-amz-object-lock-{name}", None)) is not None:
            values[f"s3:object-lock-{name}"] = found
    return values


def _of_fields(fields: Mapping[str, Any]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for field, key in (("prefix", "s3:prefix"), ("delimiter", "s3:delimiter"), ("max_keys", "s3:max-keys")):
        if fields.get(field) is not None:
            values[key] = [str(fields[field])]
    if fields.get("version_id") is not None:
        values["s3:versionid"] = [fields["version_id"]]
    if (source := fields.get("copy_source")) is not None:
        values["s3:x-amz-copy-source"] = [f"{source.bucket}/{source.key}"]
    tags = _tags(fields.get("tagging"))
    if tags:
        values |= {f"s3:requestobjecttag/{name}": [value] for name, value in tags.items()}
        values["s3:requestobjecttagkeys"] = list(tags)
    return values


def _tags(tagging: Any) -> dict[str, str]:
    """Tags of a request: the header's query string, or the document of PutObjectTagging."""
    if isinstance(tagging, str):
        return dict(parse_qsl(tagging, keep_blank_values=True))
    return {tag.key: tag.value for tag in getattr(tagging, "tag_set", ())}


def _names_version(fields: Mapping[str, Any]) -> bool:
    deletion = fields.get("delete")
    return fields.get("version_id") is not None or (
        deletion is not None and any(entry.version_id is not None for entry in deletion.objects)
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text
