"""Condition blocks of policies: operators, keys and values, checked and brought to one form.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from typing import Any, Final

from gateway.access_policy import patterns
from gateway.access_policy.errors import malformed

# Operator → (kind of comparison, negated). Kinds are those of rowlock.s3_value_matches.
_OPERATORS: Final[Mapping[str, tuple[str, bool]]] = {
    "stringequals": ("equals", False),
    "stringnotequals": ("equals", True),
    "stringequalsignorecase": ("iequals", False),
    "stringnotequalsignorecase": ("iequals", True),
    "stringlike": ("like", False),
    "stringnotlike": ("like", True),
    "binaryequals": ("equals", False),
    "arnequals": ("like", False),
    "arnlike": ("like", False),
    "arnnotequals": ("like", True),
    "arnnotlike": ("like", True),
    "bool": ("bool", False),
    "null": ("null", False),
    "ipaddress": ("ip", False),
    "notipaddress": ("ip", True),
    "numericequals": ("number=", False),
    "numericnotequals": ("number=", True),
    "numericlessthan": ("number<", False),
    "numericlessthanequals": ("number<=", False),
    "numericgreaterthan": ("number>", False),
    "numericgreaterthanequals": ("number>=", False),
    "dateequals": ("date=", False),
    "datenotequals": ("date=", True),
    "datelessthan": ("date<", False),
    "datelessthanequals": ("date<=", False),
    "dategreaterthan": ("date>", False),
    "dategreaterthanequals": ("date>=", False),
}
_QUANTIFIERS: Final = {"foranyvalue": "any", "forallvalues": "all"}
_S3_KEY_NAMES: Final = """
    s3:accessgrantsinstancearn s3:accesspointnetworkorigin s3:authtype s3:dataaccesspointaccount
    s3:dataaccesspointarn s3:delimiter s3:if-match s3:if-none-match s3:inventoryaccessibleoptionalfields
    s3:jobsuspendedcause s3:locationconstraint s3:max-keys s3:object-lock-legal-hold s3:object-lock-mode
    s3:object-lock-remaining-retention-days s3:object-lock-retain-until-date s3:objectcreationoperation
    s3:prefix s3:requestobjecttagkeys s3:resourceaccount s3:signatureage s3:signatureversion s3:tlsversion
    s3:versionid
"""
_S3_KEYS: Final = frozenset(_S3_KEY_NAMES.split())
_TAG_KEYS: Final = ("s3:existingobjecttag/", "s3:requestobjecttag/", "s3:buckettag/")
_GLOBAL_KEY: Final = re.compile(r"aws:[a-z0-9]+(/.{1,128})?", re.DOTALL)
_EXACT_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_MAX_VALUES: Final = 1000

# A condition on one of these to fixed values makes a grant to everybody one to somebody
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html, "public").
_RESTRICTING_NAMES: Final = """
    aws:sourceip aws:sourcearn aws:sourcevpc aws:sourcevpce aws:sourceowner aws:sourceaccount aws:userid
    aws:username aws:principalarn aws:principalaccount aws:principalorgid aws:principalorgpaths
    s3:dataaccesspointaccount s3:dataaccesspointarn s3:x-amz-server-side-encryption-aws-kms-key-id
"""
_RESTRICTING: Final = frozenset(_RESTRICTING_NAMES.split())
# Address ranges wider than these are the public (same page).
_WIDEST_PREFIX: Final = {4: 8, 6: 32}


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of a condition block. ``values`` are alternatives, in the form SQL compares."""

    kind: str
    key: str
    values: tuple[Any, ...]
    negated: bool = False
    if_exists: bool = False
    quantifier: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The normal form."""
        return {
            "kind": self.kind,
            "key": self.key,
            "values": list(self.values),
            "negated": self.negated,
            "if_exists": self.if_exists,
            "quantifier": self.quantifier,
        }

    @property
    def restricts(self) -> bool:
        """Does it hold for known callers only?"""
        if self.key not in _RESTRICTING or self.negated or self.if_exists or self.quantifier == "all":
            return False
        if self.kind == "ip":
            networks = [ip_network(value) for value in self.values]
            return all(network.prefixlen >= _WIDEST_PREFIX[network.version] for network in networks)
        return self.kind in ("like", "ilike") and all(_is_fixed(value) for value in self.values)


def parse_conditions(block: Any, *, variables: bool) -> Iterator[Condition]:
    """The conditions of a statement. Raises MalformedPolicy."""
    if not isinstance(block, dict):
        raise malformed("Invalid Condition block")
    for operator, keys in block.items():
        if not isinstance(keys, dict) or not keys:
            raise malformed("Invalid Condition block")
        kind, negated, if_exists, quantifier = _operator(operator)
        for name, given in keys.items():
            key = patterns.condition_key(name)
            _require_known(key)
            values = given if isinstance(given, list) else [given]
            if not 1 <= len(values) <= _MAX_VALUES:
                raise malformed("Invalid Condition block")
            stored = tuple(_value(kind, value, variables) for value in values)
            comparison = {"equals": "like", "iequals": "ilike"}.get(kind, kind)
            yield Condition(comparison, key, stored, negated, if_exists, quantifier)


def _operator(text: str) -> tuple[str, bool, bool, str | None]:
    lowered = text.lower()
    quantifier, colon, name = lowered.partition(":")
    if not colon:
        quantifier, name = "", lowered
    elif quantifier not in _QUANTIFIERS:
        raise malformed(f"Invalid Condition type : {text}")
    if_exists = name.endswith("ifexists")
    found = _OPERATORS.get(name.removesuffix("ifexists"))
    if found is None or (if_exists and found[0] == "null"):
        raise malformed(f"Invalid Condition type : {text}")
    return *found, if_exists, _QUANTIFIERS.get(quantifier)


def _require_known(key: str) -> None:
    known = (
        key in _S3_KEYS
        or (key.startswith("s3:x-amz-") and len(key) > len("s3:x-amz-"))
        or any(key.startswith(family) and len(key) > len(family) for family in _TAG_KEYS)
        or _GLOBAL_KEY.fullmatch(key)
    )
    if not known:
        raise malformed("Policy has an invalid condition key")


def _value(kind: str, value: Any, variables: bool) -> Any:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int | float | str):
        text = str(value)
    else:
        raise malformed("Invalid Condition block")
    if kind in ("equals", "iequals", "like"):
        return patterns.stored(patterns.pattern(text, wildcards=kind == "like", variables=variables))
    if kind in ("bool", "null"):
        if text.lower() not in ("true", "false"):
            raise malformed(f"Invalid value for a Boolean condition: {text[:100]}")
        return text.lower()
    if kind == "ip":
        try:
            return str(ip_network(text, strict=False))
        except ValueError:
            raise malformed(f"Invalid IP address or range: {text[:100]}") from None
    return _number(text) if kind.startswith("number") else _instant(text)


def _number(text: str) -> str:
    try:
        plain = format(Decimal(text), "f")
    except (InvalidOperation, ValueError):
        plain = ""
    if _EXACT_NUMBER.fullmatch(plain) is None:
        raise malformed(f"Invalid number: {text[:100]}")
    return plain


def _instant(text: str) -> str:
    """ISO 8601, or seconds since 1970."""
    try:
        if re.fullmatch(r"[0-9]{1,11}(\.[0-9]+)?", text):
            moment = datetime.fromtimestamp(float(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise malformed(f"Invalid date: {text[:100]}") from None


def _is_fixed(value: Any) -> bool:
    """No wildcard and no variable in a stored pattern?"""
    return isinstance(value, str) and re.search(r"(?<!\\)(?:\\\\)*[%_]", value) is None
