"""Bucket policies: what SQL decides is what a small evaluator, written from AWS's pages alone, decides."""

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.metadata.embedded import Databases
from tests.integration.s3_accounts import account, make_bucket, make_object, names, put_policy

BUCKET = "data"
KEYS: Mapping[str, dict[str, str]] = {
    "a": {},
    "a/b": {"Class": "public"},
    "a/b/c": {"Class": "private", "Team": "red"},
    "b%_": {"Class": "public"},
    "alice/x": {},
    "bob/x": {"Team": "blue"},
    "é*?": {},
}
ACTIONS = {
    "storage.s3.object.get": "s3:GetObject",
    "storage.s3.object.get_tagging": "s3:GetObjectTagging",
    "storage.s3.object.list": "s3:ListBucket",
    "storage.s3.object.delete": "s3:DeleteObject",
}

# --- the reference ---------------------------------------------------------------------------------------------------


def like(pattern: str, text: str, values: Mapping[str, list[str]]) -> bool:
    """``*``, ``?`` and variables."""
    expression = ""
    for literal, variable in re.findall(r"([^$]+|\$(?!\{))|\$\{([^}]*)\}", pattern):
        if variable:
            found = values.get(variable.lower())
            if not found:
                return False
            expression += re.escape(found[0])
        else:
            expression += fnmatch.translate(literal.replace("[", "[[]"))[4:-3]
    return re.fullmatch(expression, text, re.DOTALL) is not None


def equal(wanted: str, text: str, values: Mapping[str, list[str]]) -> bool:
    if wanted == "${aws:username}":
        return values.get("aws:username") == [text]
    return wanted == text


def in_network(wanted: str, text: str, _: Mapping[str, list[str]]) -> bool:
    address, network = ip_address(text), ip_network(wanted)
    return address.version == network.version and address in network


COMPARE = {
    "StringEquals": equal,
    "StringEqualsIgnoreCase": lambda wanted, text, values: wanted.lower() == text.lower(),
    "StringLike": like,
    "NumericLessThan": lambda wanted, text, _: bool(re.fullmatch(r"\d+", text)) and int(text) < int(wanted),
    "NumericEquals": lambda wanted, text, _: bool(re.fullmatch(r"\d+", text)) and int(text) == int(wanted),
    "Bool": lambda wanted, text, _: wanted == text,
    "IpAddress": in_network,
}
POSITIVE = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
}


def condition_holds(operator: str, wanted: list[str], found: list[str] | None, values: Mapping[str, list[str]]) -> bool:
    if operator == "Null":
        return (not found) == (wanted[0] == "true")
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = name in POSITIVE
    compare = COMPARE[POSITIVE.get(name, name)]
    if not found:
        return {"ForAllValues": True, "ForAnyValue": False}.get(quantifier, negated or if_exists)
    fits = [any(compare(each, text, values) for each in wanted) != negated for text in found]
    if quantifier == "ForAnyValue":
        return any(fits)
    if quantifier == "ForAllValues":
        return all(fits)
    return all(fits) if negated else any(fits)


def applies(
    statement: dict[str, Any], subject: str | None, action: str, key: str, values: dict[str, list[str]]
) -> bool:
    if "Principal" in statement:
        named = statement["Principal"]
        if named != "*" and (subject is None or subject not in named["AWS"]):
            return False
    elif subject is not None and subject in statement["NotPrincipal"]["AWS"]:
        return False
    matched = any(
        like(each.lower(), action.lower(), {}) for each in statement.get("Action", statement.get("NotAction"))
    )
    if matched is ("NotAction" in statement):
        return False
    resource = f"arn:aws:s3:::{BUCKET}" if "Bucket" in action else f"arn:aws:s3:::{BUCKET}/{key}"
    named = statement.get("Resource", statement.get("NotResource"))
    if any(like(each, resource, values) for each in named) is ("NotResource" in statement):
        return False
    tags = {} if "Bucket" in action else KEYS[key]
    known = values | {f"s3:existingobjecttag/{name}": [value] for name, value in tags.items()}
    return all(
        condition_holds(operator, wanted, known.get(re.sub("^[^/]*", lambda m: m.group().lower(), name)), values)
        for operator, block in statement.get("Condition", {}).items()
        for name, wanted in block.items()
    )


def expected(policy: list[dict[str, Any]], subject: str | None, action: str, values: dict[str, list[str]]) -> set[str]:
    """The keys for which something allows the action and nothing denies it."""
    return {
        key
        for key in KEYS
        for effects in [{each["Effect"] for each in policy if applies(each, subject, action, key, values)}]
        if effects == {"Allow"}
    }


# --- policies and requests -------------------------------------------------------------------------------------------

resources = st.lists(
    st.sampled_from(
        [
            f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*", f"arn:aws:s3:::{BUCKET}*", "arn:aws:s3:::*",
            f"arn:aws:s3:::{BUCKET}/a/*", f"arn:aws:s3:::{BUCKET}/a", f"arn:aws:s3:::{BUCKET}/?/b*",
            "arn:aws:s3:::d*/b",
            f"arn:aws:s3:::{BUCKET}/${{aws:username}}/*", f"arn:aws:s3:::{BUCKET}/b%_", f"arn:aws:s3:::{BUCKET}/*/*",
            f"arn:aws:s3:::{BUCKET}/b_%", "arn:aws:s3:::*/*x", f"arn:aws:s3:::{BUCKET}/**",
        ]
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip
actions = st.lists(
    st.sampled_from(["s3:*", "*", "s3:GetObject", "s3:Get*", "S3:getobject", "s3:ListBucket", "s3:?etObject*"]),
    min_size=1,
    max_size=2,
)
people = st.lists(st.sampled_from(["alice", "bob"]), min_size=1, max_size=2, unique=True).map(lambda n: {"AWS": n})
texts = st.lists(
    st.sampled_from(["public", "private", "x", "pub*", "*", "${aws:username}", "PUBLIC"]), min_size=1, max_size=2
)
string_operators = st.sampled_from(
    [
        "StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase",
        "StringEqualsIfExists", "StringNotEqualsIfExists", "ForAnyValue:StringEquals", "ForAllValues:StringLike",
        "ForAnyValue:StringNotEquals",
        "ForAllValues:StringNotLike",
    ]
)  # fmt: skip
string_keys = st.sampled_from(
    ["s3:ExistingObjectTag/Class", "s3:prefix", "aws:UserName", "s3:RequestObjectTagKeys", "aws:Referer"]
)
conditions = st.one_of(
    st.tuples(string_operators, string_keys, texts),
    st.tuples(st.just("Null"), string_keys, st.sampled_from([["true"], ["false"]])),
    st.tuples(
        st.sampled_from(["NumericLessThan", "NumericEquals", "NumericNotEquals", "NumericLessThanIfExists"]),
        st.just("s3:max-keys"),
        st.lists(st.sampled_from(["10", "1000"]), min_size=1, max_size=2),
    ),
    st.tuples(
        st.sampled_from(["IpAddress", "NotIpAddress", "IpAddressIfExists"]),
        st.just("aws:SourceIp"),
        st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]), min_size=1, max_size=2),
    ),
    st.tuples(st.just("Bool"), st.just("aws:SecureTransport"), st.sampled_from([["true"], ["false"]])),
)


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    effect = draw(st.sampled_from(["Allow", "Allow", "Deny"]))
    statement: dict[str, Any] = {"Effect": effect}
    if effect == "Deny" and draw(st.booleans()):
        statement["NotPrincipal"] = draw(people)
    else:
        statement["Principal"] = draw(st.one_of(st.just("*"), people))
    statement[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(actions)
    statement[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(resources)
    block: dict[str, dict[str, list[str]]] = {}
    for operator, key, wanted in draw(st.lists(conditions, max_size=2)):
        block.setdefault(operator, {})[key] = wanted
    if block:
        statement["Condition"] = block
    return statement


requests = st.fixed_dictionaries(
    {},
    optional={
        "s3:prefix": st.sampled_from([["public"], ["x"], [""]]),
        "aws:referer": st.sampled_from([["public"], ["pubs"]]),
        "s3:requestobjecttagkeys": st.sampled_from([["public", "private"], ["x"], ["public"]]),
        "s3:max-keys": st.sampled_from([["10"], ["999"], ["many"]]),
        "aws:sourceip": st.sampled_from([["10.1.2.3"], ["192.0.2.1"], ["2001:db8::1"]]),
        "aws:securetransport": st.sampled_from([["true"], ["false"]]),
    },
)


@pytest.fixture(scope="module")
def bucket(module_database: Databases) -> Iterator[psycopg.Connection]:
    with psycopg.connect(module_database.owner_url, autocommit=True) as connection:
        make_bucket(connection, BUCKET, "owner")
        for key, tags in KEYS.items():
            make_object(connection, BUCKET, key, "owner", tags=tags)
        yield connection


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    policy=st.lists(statements(), min_size=1, max_size=3),
    subject=st.sampled_from(["alice", "bob", "carol", None]),
    operation=st.sampled_from(sorted(ACTIONS)),
    request_values=requests,
    names_bucket=st.booleans(),
)
def test_sql_decides_as_the_reference(
    bucket: psycopg.Connection,
    policy: list[dict[str, Any]],
    subject: str | None,
    operation: str,
    request_values: dict[str, list[str]],
    names_bucket: bool,
) -> None:
    values = request_values | ({"aws:username": [subject]} if subject else {})
    put_policy(bucket, BUCKET, *policy)
    request = {"values": values, **({"bucket": BUCKET} if names_bucket else {})}
    scope = replace(account(subject, operation), s3_request_json=json.dumps(request))
    wanted = expected(policy, subject, ACTIONS[operation], values)
    try:
        seen = names(bucket, scope)
    except psycopg.errors.InsufficientPrivilege:
        # An account that may not list is told so at once.
        seen = set()
        assert names_bucket
        assert ACTIONS[operation] == "s3:ListBucket"
    assert seen == wanted
