"""Session policies: what is understood is kept to the letter, what is not is refused."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth import session_policy
from gateway.auth.session_policy import MAX_POLICY_CHARACTERS, MalformedPolicy, matches
from gateway.context import Attempt


def policy(*statements, **more):
    return session_policy.parse(json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more}))


def allow(action="s3:*", resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action="s3:*", resource="*", **more):
    return allow(action, resource, **more) | {"Effect": "Deny"}


GET = Attempt("s3:GetObject", "docs", "team/a")
PUT = Attempt("s3:PutObject", "docs", "team/a")


@given(st.text("ab*?", max_size=12), st.text("ab*?", max_size=12))
@settings(max_examples=1_000)
def test_wildcards_are_those_of_a_regular_expression(pattern, text):
    translated = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    assert matches(pattern, text) == (re.fullmatch(translated, text, re.DOTALL) is not None)


def test_pattern_of_many_stars_costs_no_more_than_its_length_times_the_texts():
    assert not matches("*a" * 1_000 + "b", "a" * 1_000)


def test_nothing_is_permitted_that_no_statement_allows():
    narrow = policy(allow("s3:GetObject", "arn:aws:s3:::docs/team/*"))
    assert narrow.permits(GET)
    for attempt in (
        PUT,
        Attempt("s3:GetObject", "docs", "other/a"),
        Attempt("s3:GetObject", "docs2", "team/a"),
        Attempt("s3:GetObject", "docs", "team"),
        Attempt("s3:GetObjectVersion", "docs", "team/a"),
        Attempt("s3:ListBucket", "docs", prefix="team/"),
        Attempt("s3:ListAllMyBuckets"),
    ):
        assert not narrow.permits(attempt)


def test_a_denial_outweighs_every_permission():
    narrow = policy(allow(), deny("s3:Put*", "arn:aws:s3:::docs/*"))
    assert narrow.permits(GET)
    assert not narrow.permits(PUT)
    assert narrow.permits(Attempt("s3:PutObject", "other", "a"))


def test_actions_have_no_case_and_keys_have():
    narrow = policy(allow("S3:getobject", "arn:aws:s3:::docs/team/*"))
    assert narrow.permits(GET)
    assert not narrow.permits(Attempt("s3:GetObject", "docs", "TEAM/a"))


def test_bucket_and_objects_are_different_resources():
    assert not policy(allow(resource="arn:aws:s3:::docs")).permits(GET)
    assert not policy(allow(resource="arn:aws:s3:::docs/*")).permits(Attempt("s3:ListBucket", "docs", prefix=""))
    assert policy(allow(resource="arn:aws:s3:::docs*")).permits(Attempt("s3:ListBucket", "docs", prefix=""))
    assert policy(allow(resource="arn:aws:s3:::*")).permits(Attempt("s3:ListAllMyBuckets"))
    assert not policy(allow(resource="arn:aws:s3:::docs")).permits(Attempt("s3:ListAllMyBuckets"))


def test_not_action_and_not_resource_are_everything_else():
    narrow = policy({"Effect": "Allow", "NotAction": "s3:Delete*", "NotResource": "arn:aws:s3:::docs/secret/*"})
    assert narrow.permits(GET)
    assert not narrow.permits(Attempt("s3:DeleteObject", "docs", "team/a"))
    assert not narrow.permits(Attempt("s3:GetObject", "docs", "secret/a"))


@pytest.mark.parametrize(
    ("condition", "prefix", "holds"),
    [
        ({"StringLike": {"s3:prefix": "team/*"}}, "team/a", True),
        ({"StringLike": {"s3:prefix": "team/*"}}, "team", False),
        ({"StringLike": {"S3:Prefix": ["x", "team/*"]}}, "team/", True),
        ({"StringEquals": {"s3:prefix": ["", "team/"]}}, "", True),
        ({"StringEquals": {"s3:prefix": "team/*"}}, "team/a", False),
        ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, "a", False),
        ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, "c", True),
        ({"StringNotLike": {"s3:prefix": "a*"}}, "ab", False),
        ({"StringEquals": {"s3:delimiter": "/"}}, "", False),
        ({"StringLike": {"s3:prefix": "a*"}, "StringNotEquals": {"s3:delimiter": "/"}}, "ab", True),
        ({}, "x", True),
    ],
)
def test_conditions_on_a_listing(condition, prefix, holds):
    attempt = Attempt("s3:ListBucket", "docs", prefix=prefix)
    assert policy(allow(Condition=condition)).permits(attempt) is holds


def test_condition_on_what_the_request_lacks_fits_only_a_negation():
    assert not policy(allow(Condition={"StringLike": {"s3:prefix": "*"}})).permits(GET)
    assert policy(allow(Condition={"StringNotLike": {"s3:prefix": "*"}})).permits(GET)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "{}",
        '{"Statement": []}',
        '{"Statement": [], "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}',
        "[" * 2_000,
        " " * (MAX_POLICY_CHARACTERS + 1),
        *(
            json.dumps({"Statement": statement})
            for statement in (
                {},
                {"Effect": "Allow"},
                allow() | {"Effect": "allow"},
                allow() | {"Principal": "*"},
                allow() | {"NotAction": "s3:*"},
                allow() | {"Sid": 1},
                allow([]),
                allow(1),
                allow("ec2:*"),
                allow("sts:AssumeRole"),
                allow(resource=[]),
                allow(resource="docs/*"),
                allow(resource="arn:aws:s3:eu-west-1::docs"),
                allow(resource="arn:aws:s3:::${aws:username}/*"),
                allow(Condition=[]),
                allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
                allow(Condition={"StringEquals": {"aws:username": "a"}}),
                allow(Condition={"StringEquals": "a"}),
                allow(Condition={"StringEqualsIfExists": {"s3:prefix": "a"}}),
                allow(Condition={"StringEquals": {"s3:prefix": []}}),
                allow(Condition={"StringLike": {"s3:prefix": "${aws:username}/*"}}),
            )
        ),
        json.dumps({"Version": "2013-01-01", "Statement": allow()}),
        json.dumps({"Version": "2012-10-17", "Statement": allow(), "Else": 1}),
    ],
)
def test_policy_that_is_not_understood_in_every_part_is_refused(text):
    with pytest.raises(MalformedPolicy):
        session_policy.parse(text)


NAMES = st.text("ab", min_size=1, max_size=2)
PATTERNS = st.text("ab*?/", min_size=1, max_size=4)
STATEMENTS = st.builds(
    lambda effect, action, resource: {
        "Effect": effect,
        "Action": f"s3:{action}",
        "Resource": f"arn:aws:s3:::{resource}",
    },
    st.sampled_from(["Allow", "Deny"]),
    PATTERNS,
    PATTERNS,
)


@given(st.lists(STATEMENTS, min_size=1, max_size=4), NAMES, NAMES, st.none() | NAMES)
@settings(max_examples=500)
def test_decision_is_that_of_the_evaluation_logic_of_iam(statements, action, bucket, key):
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html"""

    def fits(pattern, text):
        return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None

    resource = f"arn:aws:s3:::{bucket}" + ("" if key is None else f"/{key}")
    about = [each for each in statements if fits(each["Action"], f"s3:{action}") and fits(each["Resource"], resource)]
    expected = bool(about) and not any(each["Effect"] == "Deny" for each in about)
    assert policy(*statements).permits(Attempt(f"s3:{action}", bucket, key)) is expected
