"""The limits of an access key."""

import pytest

from gateway.auth.restrictions import KeyRestriction, key_restriction
from gateway.context import Attempt

READ = Attempt("s3:GetObject", "docs", "team/a")
WRITE = Attempt("s3:PutObject", "docs", "team/a")
LIST = Attempt("s3:ListBucket", "docs", prefix="team/")


@pytest.mark.parametrize(
    ("attempt", "permitted"),
    [
        (READ, True),
        (Attempt("s3:GetObjectVersion", "docs", "team/a"), True),
        (LIST, True),
        (Attempt("s3:ListMultipartUploadParts", "docs", "team/a"), True),
        (Attempt("s3:ListAllMyBuckets"), True),
        (WRITE, False),
        (Attempt("s3:DeleteObject", "docs", "team/a"), False),
        (Attempt("s3:AbortMultipartUpload", "docs", "team/a"), False),
        (Attempt("s3:BypassGovernanceRetention", "docs", "team/a"), False),
        (Attempt("s3:CreateBucket", "docs"), False),
        (Attempt("s3:RestoreObject", "docs", "team/a"), False),
    ],
)
def test_read_only_permits_reading(attempt, permitted):
    assert KeyRestriction(read_only=True).permits(attempt) is permitted


@pytest.mark.parametrize(
    ("attempt", "permitted"),
    [
        (READ, True),
        (WRITE, True),
        (Attempt("s3:CreateBucket", "docs"), True),
        (Attempt("s3:GetObject", "docs2", "team/a"), False),
        (Attempt("s3:CreateBucket", "other"), False),
        (Attempt("s3:ListAllMyBuckets"), False),
    ],
)
def test_buckets_are_the_only_ones(attempt, permitted):
    assert KeyRestriction(frozenset({"docs"})).permits(attempt) is permitted


@pytest.mark.parametrize(
    ("attempt", "permitted"),
    [
        (READ, True),
        (WRITE, True),
        (LIST, True),
        (Attempt("s3:ListBucket", "docs", prefix="team/sub/"), True),
        (Attempt("s3:GetBucketLocation", "docs"), True),
        (Attempt("s3:GetObject", "docs", "team"), False),
        (Attempt("s3:GetObject", "docs", "teams/a"), False),
        (Attempt("s3:ListBucket", "docs", prefix=""), False),
        (Attempt("s3:ListBucket", "docs", prefix="tea"), False),
        (Attempt("s3:ListBucketVersions", "docs", prefix="other/"), False),
        (Attempt("s3:PutLifecycleConfiguration", "docs"), False),
        (Attempt("s3:DeleteBucket", "docs"), False),
        (Attempt("s3:ListAllMyBuckets"), False),
    ],
)
def test_prefix_bounds_keys_and_listings(attempt, permitted):
    assert KeyRestriction(prefix="team/").permits(attempt) is permitted


def test_no_bucket_at_all_permits_nothing():
    assert not KeyRestriction(frozenset()).permits(READ)


def test_document_is_read_in_full():
    assert key_restriction({}) is None
    assert key_restriction({"buckets": None, "prefix": None, "read_only": False}) is None
    found = key_restriction({"buckets": ["a"], "prefix": "p/", "read_only": True})
    assert found == KeyRestriction(frozenset({"a"}), "p/", True)
    assert key_restriction({"buckets": []}) == KeyRestriction(frozenset())


@pytest.mark.parametrize(
    "document", [{"bucket": "a"}, {"buckets": "a"}, {"buckets": [1]}, {"prefix": 1}, {"read_only": "yes"}]
)
def test_document_that_is_not_understood_is_refused(document):
    with pytest.raises(ValueError, match=r".+"):
        key_restriction(document)
