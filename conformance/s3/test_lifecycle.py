"""Lifecycle configurations and the headers that tell of them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from conformance.expect import refused
from conformance.rawhttp import RawClient

DAYS = {"Expiration": {"Days": 7}}
NONCURRENT = {"NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}}
ABORT = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}}
TAG = {"Key": "k", "Value": "v"}


def put(s3: Any, bucket: str, *rules: dict[str, Any], **more: Any) -> Any:
    """Put rules, each enabled and about everything unless it says otherwise."""
    entries = [{"Status": "Enabled", **({} if "Prefix" in rule else {"Filter": {}}), **rule} for rule in rules]
    return s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": entries}, **more)


@pytest.mark.parametrize(
    "rule",
    [
        {"ID": "a", "Prefix": "logs/", "Status": "Disabled", **DAYS},
        {"ID": "a", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", **DAYS},
        {"ID": "a", "Filter": {}, "Status": "Enabled", **DAYS, **ABORT, **NONCURRENT},
        {"ID": "a", "Filter": {"Tag": TAG}, "Status": "Enabled", **DAYS},
        {"ID": "a", "Filter": {"ObjectSizeGreaterThan": 0}, "Status": "Enabled", **DAYS},
        {"ID": "a", "Filter": {"ObjectSizeLessThan": 100}, "Status": "Enabled", **DAYS},
        {
            "ID": "ä & <b>",
            "Filter": {
                "And": {
                    "Prefix": "logs/", "Tags": [TAG, {"Key": "l", "Value": ""}],
                    "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 2**40,
                }
            },
            "Status": "Enabled",
            **DAYS,
        },
        {
            "ID": "a", "Filter": {}, "Status": "Enabled",
            "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)},
        },
        {"ID": "a", "Filter": {}, "Status": "Enabled", "Expiration": {"ExpiredObjectDeleteMarker": True}},
    ],
)  # fmt: skip
def test_rule_comes_back_as_it_was_put(s3: Any, bucket: str, rule: dict[str, Any]) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert answer["Rules"] == [rule]
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"


def test_rule_without_id_gets_one(s3: Any, bucket: str) -> None:
    put(s3, bucket, DAYS, DAYS)
    ids = [rule["ID"] for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]]
    assert len(set(ids)) == 2
    assert all(ids)


def test_default_minimum_size_is_echoed(s3: Any, bucket: str) -> None:
    size = "varies_by_storage_class"
    assert put(s3, bucket, DAYS, TransitionDefaultMinimumObjectSize=size)["TransitionDefaultMinimumObjectSize"] == size
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["TransitionDefaultMinimumObjectSize"] == size


def test_put_replaces_and_delete_removes(s3: Any, bucket: str) -> None:
    put(s3, bucket, {"ID": "first", **DAYS})
    put(s3, bucket, {"ID": "second", **DAYS})
    assert [rule["ID"] for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]] == ["second"]
    for _ in range(2):
        assert s3.delete_bucket_lifecycle(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_bucket_that_is_not_there(s3: Any, fresh_name: Callable[[], str]) -> None:
    for call in (
        lambda: put(s3, fresh_name(), DAYS),
        lambda: s3.get_bucket_lifecycle_configuration(Bucket=fresh_name()),
        lambda: s3.delete_bucket_lifecycle(Bucket=fresh_name()),
    ):
        with refused(404, "NoSuchBucket"):
            call()


def test_thousand_rules_and_one_more(s3: Any, bucket: str) -> None:
    rules = [{"ID": f"r{n}", "Filter": {"Prefix": f"{n}/"}, **DAYS} for n in range(1001)]
    put(s3, bucket, *rules[:1000])
    assert len(s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]) == 1000
    with refused(400, "MalformedXML"):
        put(s3, bucket, *rules)


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("InvalidArgument", {"ID": "a" * 256, **DAYS}),
        ("InvalidArgument", {"Expiration": {"Days": 0}}),
        ("InvalidArgument", {"NoncurrentVersionExpiration": {"NoncurrentDays": 0}}),
        ("InvalidArgument", {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}}),
        ("InvalidArgument", {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 0}}),
        ("InvalidArgument", {"Expiration": {"Date": datetime(2030, 1, 1, 0, 0, 1, tzinfo=UTC)}}),
        ("InvalidRequest", {}),
        ("InvalidRequest", {"Filter": {"Tag": TAG}, **ABORT}),
        ("InvalidRequest", {"Filter": {"ObjectSizeLessThan": 5}, **ABORT}),
        ("InvalidRequest", {"Filter": {"Tag": TAG}, "Expiration": {"ExpiredObjectDeleteMarker": True}}),
        ("InvalidRequest", {"Filter": {"And": {"Tags": [TAG, TAG]}}, **DAYS}),
        ("InvalidRequest", {"Filter": {"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}, **DAYS}),
        ("InvalidRequest", {"Prefix": "", **NONCURRENT}),
        ("InvalidTag", {"Filter": {"Tag": {"Key": "k" * 129, "Value": ""}}, **DAYS}),
        ("MalformedXML", {"Status": "enabled", **DAYS}),
        ("MalformedXML", {"Prefix": "", "Filter": {}, **DAYS}),
        ("MalformedXML", {"Filter": {"And": {"Prefix": "a"}}, **DAYS}),
        ("MalformedXML", {"Expiration": {}}),
        ("MalformedXML", {"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}),
        ("MalformedXML", {"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 1}}),
        ("MalformedXML", {"AbortIncompleteMultipartUpload": {}}),
    ],
)  # fmt: skip
def test_rule_is_refused_and_changes_nothing(s3: Any, bucket: str, code: str, rule: dict[str, Any]) -> None:
    put(s3, bucket, {"ID": "before", **DAYS})
    with refused(400, code):
        put(s3, bucket, rule)
    assert [found["ID"] for found in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]] == ["before"]


def test_same_id_twice(s3: Any, bucket: str) -> None:
    with refused(400, "InvalidArgument"):
        put(s3, bucket, {"ID": "a", **DAYS}, {"ID": "a", **DAYS})


def test_no_rules(raw: RawClient, bucket: str) -> None:
    body = b"<LifecycleConfiguration/>"
    answer = raw("PUT", f"/{bucket}?lifecycle", {"Content-MD5": "j9VfG/p/L54O4f1X84gDLQ=="}, body)
    assert answer.refusal() == (400, "MalformedXML")


@pytest.mark.parametrize(
    "transition",
    [
        {"Transitions": [{"Days": 30, "StorageClass": "GLACIER"}]},
        {"NoncurrentVersionTransitions": [{"NoncurrentDays": 30, "StorageClass": "STANDARD_IA"}]},
    ],
)
def test_transition_is_not_accepted_as_if_it_happened(
    s3: Any, bucket: str, transition: dict[str, Any], server: Any
) -> None:
    if server is None:
        pytest.skip("other stores have storage classes")
    with refused(501, "NotImplemented"):
        put(s3, bucket, {**transition, **DAYS})


# --- x-amz-expiration ----------------------------------------------------------------------------------------


def expiration(answer: Any) -> tuple[datetime, str]:
    """The instant and the rule's id of the header."""
    found = re.fullmatch(r'expiry-date="([^"]*)", rule-id="([^"]*)"', answer["Expiration"])
    assert found is not None, answer["Expiration"]
    return parsedate_to_datetime(found[1]), found[2]


def midnight_after(days: int) -> set[datetime]:
    """The midnight after so many days from now; two, should this moment be one."""
    now = datetime.now(UTC)
    return {
        (moment + timedelta(days=days + 1)).replace(hour=0, minute=0, second=0, microsecond=0)
        for moment in (now, now - timedelta(minutes=5))
    }


def test_expiration_is_told_by_every_answer_about_the_object(s3: Any, bucket: str) -> None:
    put(s3, bucket, {"ID": "week", "Filter": {"Prefix": "a/"}, **DAYS})
    for _ in range(4):  # whichever process answers
        answers = [
            s3.put_object(Bucket=bucket, Key="a/1", Body=b"v"),
            s3.head_object(Bucket=bucket, Key="a/1"),
            s3.get_object(Bucket=bucket, Key="a/1"),
            s3.copy_object(Bucket=bucket, Key="a/2", CopySource=f"{bucket}/a/1"),
            s3.copy_object(
                Bucket=bucket, Key="a/2", CopySource=f"{bucket}/a/2", MetadataDirective="REPLACE", Metadata={"n": "1"}
            ),
        ]
        for answer in answers:
            instant, rule = expiration(answer)
            assert rule == "week"
            assert instant in midnight_after(7)


def test_expiration_of_a_completed_upload(s3: Any, bucket: str) -> None:
    put(s3, bucket, {"ID": "week", **DAYS})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"v")
    done = s3.complete_multipart_upload(
        Bucket=bucket,
        Key="k",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert expiration(done)[1] == "week"


def test_expiration_is_not_told_where_no_rule_applies(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="k")
    put(s3, bucket, {"Filter": {"Prefix": "a/"}, **DAYS}, {**DAYS, "Status": "Disabled"}, NONCURRENT)
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="k")


def test_expiration_follows_the_rules_at_once(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    for days in (1, 30, 2):
        put(s3, bucket, {"ID": f"{days} days", "Expiration": {"Days": days}})
        for _ in range(4):
            instant, rule = expiration(s3.head_object(Bucket=bucket, Key="k"))
            assert (rule, instant in midnight_after(days)) == (f"{days}%20days", True)
    s3.delete_bucket_lifecycle(Bucket=bucket)
    for _ in range(4):
        assert "Expiration" not in s3.head_object(Bucket=bucket, Key="k")


def test_expiration_by_tag_size_and_date(s3: Any, bucket: str) -> None:
    date = datetime(2035, 1, 1, tzinfo=UTC)
    put(
        s3,
        bucket,
        {"ID": "tag", "Filter": {"Tag": TAG}, "Expiration": {"Days": 1}},
        {"ID": "size", "Filter": {"ObjectSizeGreaterThan": 3}, "Expiration": {"Days": 2}},
        {"ID": "date", "Filter": {"Prefix": "date/"}, "Expiration": {"Date": date}},
    )
    assert expiration(s3.put_object(Bucket=bucket, Key="a", Body=b"1234", Tagging="k=v"))[1] == "tag"
    assert expiration(s3.put_object(Bucket=bucket, Key="a", Body=b"1234", Tagging="k=w"))[1] == "size"
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="a", Body=b"123")
    assert expiration(s3.put_object(Bucket=bucket, Key="date/a", Body=b"1")) == (date, "date")
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": [TAG]})
    assert expiration(s3.head_object(Bucket=bucket, Key="a"))[1] == "tag"
