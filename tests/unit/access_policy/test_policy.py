"""Bucket policies: what is refused, in which words, and what the normal form says."""

import json
from typing import Any

import pytest

from gateway.access_policy import MAX_POLICY_BYTES, parse
from gateway.access_policy.patterns import matches, pattern, residues, stored
from gateway.errors import StorageError

CANONICAL = "a" * 64
RESOURCE = "arn:aws:s3:::data/*"


def statement(**changes: Any) -> dict[str, Any]:
    made = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": RESOURCE, **changes}
    return {name: value for name, value in made.items() if value is not None}


def policy(*statements: dict[str, Any], **changes: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **changes})


def refusal(text: str) -> str:
    with pytest.raises(StorageError) as refused:
        parse(text, "data").document({})
    assert refused.value.code.name == "MalformedPolicy"
    return refused.value.message


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "null", '"policy"', "{", '{"Version": "\\u0000"}', '{"Id": "\\ud800"}', "[" * 5000],
)
def test_what_is_no_json_object(text: str) -> None:
    assert refusal(text) == "Policies must be valid JSON and the first byte must be '{'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (policy(), "Could not parse the policy: Statement is empty!"),
        (json.dumps({"Version": "2012-10-17"}), "Missing required field Statement"),
        (policy(statement(), Version="2020-01-01"), "The policy must contain a valid version string"),
        (policy(statement(), Comment="x"), "Unknown field Comment"),
        (policy(statement(Comment="x")), "Unknown field Comment"),
        (policy(statement(Effect=None)), "Missing required field Effect"),
        (policy(statement(Effect="allow")), "Invalid effect: allow"),
        (policy(statement(Principal=None)), "Missing required field Principal"),
        (policy(statement(Action=None)), "Missing required field Action"),
        (policy(statement(Resource=None)), "Missing required field Resource"),
        (policy(statement(NotAction="s3:GetObject")), "Invalid policy syntax."),
        (policy(statement(Principal=None, NotPrincipal="*")), "Allow with NotPrincipal is not allowed."),
        (policy(statement(Action="s3:GetObjects")), "Policy has invalid action"),
        (policy(statement(Action=[])), "Policy has invalid action"),
        (policy(statement(Action="iam:CreateUser")), "Policy has invalid action"),
        (policy(statement(Resource="data/*")), "Policy has invalid resource"),
        (policy(statement(Resource="arn:aws:s3:::other/*")), "Policy has invalid resource"),
        (policy(statement(Resource="arn:aws:s3:::dat/*")), "Policy has invalid resource"),
        (policy(statement(Resource=[RESOURCE, ""])), "Policy has invalid resource"),
        (policy(statement(Principal={"AWS": "arn:aws:s3:::x"})), "Invalid principal in policy"),
        (policy(statement(Principal={"AWS": []})), "Invalid principal in policy"),
        (policy(statement(Principal={"Nobody": "x"})), "Invalid principal in policy"),
        (policy(statement(Principal={"CanonicalUser": "x"})), "Invalid principal in policy"),
        (policy(statement(Principal={"CanonicalUser": CANONICAL})), "Invalid principal in policy"),
        (policy(statement(Principal="alice")), "Invalid principal in policy"),
        (policy(statement(Condition={"StringIs": {"s3:prefix": "x"}})), "Invalid Condition type : StringIs"),
        (policy(statement(Condition={"NullIfExists": {"s3:prefix": "true"}})), "Invalid Condition type : NullIfExists"),
        (policy(statement(Condition={"ForAny:Bool": {"s3:prefix": "x"}})), "Invalid Condition type : ForAny:Bool"),
        (policy(statement(Condition={"StringLike": {"s3:colour": "x"}})), "Policy has an invalid condition key"),
        (policy(statement(Condition={"IpAddress": {"aws:SourceIp": "1/99"}})), "Invalid IP address or range: 1/99"),
        (policy(statement(Condition={"NumericEquals": {"s3:max-keys": "ten"}})), "Invalid number: ten"),
        (policy(statement(Condition={"DateLessThan": {"aws:CurrentTime": "soon"}})), "Invalid date: soon"),
        (policy(statement(Condition={"Bool": {"aws:MFA": "yes"}})), "Invalid value for a Boolean condition: yes"),
        (policy(statement(Resource="arn:aws:s3:::data/${x}")), "Invalid policy variable"),
        ('{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}', "Invalid policy syntax."),
    ],
)  # fmt: skip
def test_what_is_refused_in_these_words(text: str, message: str) -> None:
    assert refusal(text) == message


def test_too_large_a_policy() -> None:
    assert str(MAX_POLICY_BYTES) in refusal(policy(statement(Sid="x" * MAX_POLICY_BYTES)))


@pytest.mark.parametrize(
    ("principal", "stored_as"),
    [
        ("*", {"everyone": True}),
        ({"AWS": "*"}, {"everyone": True}),
        ({"AWS": ["bob", "*"]}, {"everyone": True}),
        ({"AWS": "arn:aws:iam::alice:root"}, {"subjects": ["alice"]}),
        ({"AWS": ["123456789012", "arn:aws:iam:::user/team/bob"]}, {"subjects": ["123456789012", "bob"]}),
        ({"CanonicalUser": CANONICAL}, {"subjects": ["carol"]}),
        ({"Service": "logging.s3.amazonaws.com"}, {"subjects": []}),
    ],
)
def test_principals_become_subjects(principal: Any, stored_as: dict[str, Any]) -> None:
    found = parse(policy(statement(Principal=principal)), "data")
    assert found.document({CANONICAL: "carol"})["statements"][0]["principal"] == stored_as


@pytest.mark.parametrize(
    ("resource", "bucket", "all_keys", "keys"),
    [
        ("arn:aws:s3:::data", True, False, []),
        ("arn:aws:s3:::data/*", False, True, []),
        ("arn:aws:s3:::data*", True, True, []),
        ("*", True, True, []),
        ("arn:aws:s3:::d?ta/a_%/?", False, False, [r"a\_\%/_"]),
        ("arn:aws:s3:::data/${aws:username}/*", False, False, [[{"key": "aws:username", "default": None}, "/%"]]),
        ("arn:aws:s3:::data/${*}", False, False, ["*"]),
    ],
)
def test_resources_are_split_into_the_bucket_and_keys(resource: str, bucket: bool, all_keys: bool, keys: list) -> None:
    [made] = parse(policy(statement(Resource=resource)), "data").document({})["statements"]
    assert (made["bucket"], made["all_keys"], made["keys"]) == (bucket, all_keys, keys)


def test_variables_came_with_the_version_of_2012() -> None:
    text = policy(statement(Resource="arn:aws:s3:::data/${aws:username}"), Version="2008-10-17")
    assert parse(text, "data").document({})["statements"][0]["keys"] == ["${aws:username}"]


@pytest.mark.parametrize(
    ("changes", "public"),
    [
        ({}, True),
        ({"Principal": {"AWS": "alice"}}, False),
        ({"Effect": "Deny"}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}}, True),
        ({"Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}, True),
        ({"Condition": {"StringLike": {"aws:userid": "a*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:userid": "alice"}}}, False),
        ({"Condition": {"StringEqualsIfExists": {"aws:userid": "alice"}}}, True),
        ({"Condition": {"StringEquals": {"s3:prefix": "x"}}}, True),
    ],
)
def test_public_is_what_strangers_may_use(changes: dict[str, Any], public: bool) -> None:
    assert parse(policy(statement(**changes)), "data").is_public is public


def test_text_is_kept_as_it_came() -> None:
    text = ' {\n"Statement" : ' + json.dumps(statement()) + " }"
    assert parse(text, "data").document({})["text"] == text


def test_patterns_match_and_leave_the_rest() -> None:
    assert matches(pattern("a*b?d"), "axxbcd")
    assert not matches(pattern("a*b?d"), "axxbd")
    assert [stored(rest) for rest in residues(pattern("a*/b"), "ax/")] == ["%/b", "b"]
    assert residues(pattern("b*"), "ax") == []
