"""Restrictions stand before every handler of the table, and ask about everything a request names."""

import dataclasses
from dataclasses import replace

import pytest

from gateway.auth.restrictions import KeyRestriction
from gateway.context import Attempt, AuthMethod, Call, Principal, Tenant
from gateway.errors import StorageError
from gateway.operations.restricted import action_of, attempts, restricted
from gateway.operations.shapes import (
    CopyObjectInput,
    CreateBucketInput,
    Delete,
    DeleteObjectInput,
    DeleteObjectsInput,
    DeleteObjectsOutput,
    GetObjectAttributesInput,
    GetObjectInput,
    GetObjectTaggingInput,
    ListBucketsInput,
    ListObjectsV2Input,
    ObjectIdentifier,
    PutObjectRetentionInput,
)
from gateway.operations.table import OPERATIONS
from gateway.wire.addressing import CopySource

FREE = Principal("default", "service_role", AuthMethod.SIGV4_HEADER)


class Nothing:
    """Permits nothing, and remembers what was asked."""

    def __init__(self):
        self.asked = []

    def permits(self, attempt):
        self.asked.append(attempt)
        return False


def call(*restrictions):
    principal = replace(FREE, restrictions=restrictions)
    return Call(Tenant("default", "us-east-1"), principal, "storage.s3.test", "R")


def sample(shape):
    """An input with every required member, whatever its type."""
    required = {
        field.name: CopySource("docs", "a", None) if field.name == "copy_source" else "docs"
        for field in dataclasses.fields(shape)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return shape(**required)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_no_handler_runs_for_a_principal_that_may_do_nothing(operation):
    nothing = Nothing()
    asked = sample(operation.input)
    if operation.name == "DeleteObjects":
        asked = DeleteObjectsInput(bucket="docs", delete=Delete(objects=(ObjectIdentifier(key="a"),)))
        answer = await operation.handler(None, call(nothing), asked)
        assert [(each.key, each.code) for each in answer.errors] == [("a", "AccessDenied")]
    else:
        with pytest.raises(StorageError) as caught:
            await operation.handler(None, call(nothing), asked)
        assert caught.value.code.name == "AccessDenied"
    assert nothing.asked[0].action.startswith("s3:")
    assert nothing.asked[0].bucket == getattr(asked, "bucket", None)


async def test_principal_without_restrictions_passes_at_once():
    async def handler(services, call, asked):
        return asked

    assert await restricted("GetObject", handler)(None, call(), "asked") == "asked"
    assert await restricted("DeleteObjects", handler)(None, call(), "asked") == "asked"


@pytest.mark.parametrize(
    ("name", "asked", "wanted"),
    [
        ("GetObject", GetObjectInput(bucket="b", key="k"), ["s3:GetObject"]),
        ("GetObject", GetObjectInput(bucket="b", key="k", version_id="v"), ["s3:GetObjectVersion"]),
        (
            "GetObjectTagging",
            GetObjectTaggingInput(bucket="b", key="k", version_id="v"),
            ["s3:GetObjectVersionTagging"],
        ),
        (
            "DeleteObject",
            DeleteObjectInput(bucket="b", key="k", version_id="v", bypass_governance_retention=True),
            ["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"],
        ),
        (
            "PutObjectRetention",
            PutObjectRetentionInput(bucket="b", key="k", version_id="v"),
            ["s3:PutObjectRetention"],
        ),
        (
            "GetObjectAttributes",
            GetObjectAttributesInput(bucket="b", key="k", object_attributes=("ETag",), version_id="v"),
            ["s3:GetObjectVersionAttributes", "s3:GetObjectVersion"],
        ),
        ("CreateBucket", CreateBucketInput(bucket="b", acl="private"), ["s3:CreateBucket", "s3:PutBucketAcl"]),
        (
            "CopyObject",
            CopyObjectInput(
                bucket="b",
                key="k",
                copy_source=CopySource("c", "s", "v"),
                acl="private",
                tagging="a=b",
                object_lock_mode="GOVERNANCE",
                object_lock_legal_hold_status="ON",
            ),
            [
                "s3:PutObject",
                "s3:PutObjectAcl",
                "s3:PutObjectLegalHold",
                "s3:PutObjectRetention",
                "s3:PutObjectTagging",
                "s3:GetObjectVersion",
            ],
        ),
    ],
)
def test_request_asks_for_every_action_it_means(name, asked, wanted):
    assert [attempt.action for attempt in attempts(name, asked)] == wanted


def test_source_of_a_copy_is_asked_about():
    asked = CopyObjectInput(bucket="b", key="k", copy_source=CopySource("c", "s", None))
    assert list(attempts("CopyObject", asked))[-1] == Attempt("s3:GetObject", "c", "s")


def test_listing_without_a_prefix_asks_for_all_keys():
    assert list(attempts("ListObjectsV2", ListObjectsV2Input(bucket="b", delimiter="/"))) == [
        Attempt("s3:ListBucket", "b", None, "", "/")
    ]
    assert list(attempts("ListBuckets", ListBucketsInput(prefix="x"))) == [Attempt("s3:ListAllMyBuckets")]


async def test_DeleteObjects_deletes_what_is_permitted_and_names_the_rest():
    seen = []

    async def handler(services, call, asked):
        seen.extend(entry.key for entry in asked.delete.objects)
        return DeleteObjectsOutput()

    objects = tuple(ObjectIdentifier(key=key) for key in ("a/1", "b/1", "a/2"))
    asked = DeleteObjectsInput(bucket="docs", delete=Delete(objects=objects))
    answer = await restricted("DeleteObjects", handler)(None, call(KeyRestriction(prefix="a/")), asked)
    assert seen == ["a/1", "a/2"]
    assert [each.key for each in answer.errors] == ["b/1"]


async def test_every_restriction_must_permit():
    async def handler(services, call, asked):
        return "done"

    guarded = restricted("GetObject", handler)
    both = call(KeyRestriction(frozenset({"docs"})), KeyRestriction(prefix="a/"))
    assert await guarded(None, both, GetObjectInput(bucket="docs", key="a/1")) == "done"
    for bucket, key in (("docs", "b"), ("other", "a/1")):
        with pytest.raises(StorageError):
            await guarded(None, both, GetObjectInput(bucket=bucket, key=key))


def test_actions_are_those_of_the_service_authorization_reference():
    reading = {
        action_of(each.name, versioned=False) for each in OPERATIONS if each.name.startswith(("Get", "Head", "List"))
    }
    assert all(action.startswith(("s3:Get", "s3:List")) for action in reading)
    writing = {each.name for each in OPERATIONS if not each.name.startswith(("Get", "Head", "List"))}
    assert not any(action_of(name, versioned=False).startswith(("s3:Get", "s3:List")) for name in writing)
