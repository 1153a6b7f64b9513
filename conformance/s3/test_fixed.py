"""Configurations that are accepted where they change nothing, and refused where they would be a promise."""

from collections.abc import Callable
from typing import Any

import pytest

from conformance.expect import refused

TOPIC = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Events": ["s3:ObjectCreated:*"]}

SAME = [
    ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "BucketOwner"}}),
    ("put_bucket_logging", {"BucketLoggingStatus": {}}),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": {}}),
]
PROMISES = [
    ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
    ("put_bucket_logging", {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "b", "TargetPrefix": ""}}}),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": {"TopicConfigurations": [TOPIC]}}),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}),
    ("put_bucket_accelerate_configuration", {"AccelerateConfiguration": {"Status": "Enabled"}}),
]


@pytest.mark.parametrize(("operation", "asked"), SAME)
def test_what_is_so_anyway_is_accepted(s3: Any, bucket: str, operation: str, asked: dict[str, Any]) -> None:
    assert getattr(s3, operation)(Bucket=bucket, **asked)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


@pytest.mark.parametrize(("operation", "asked"), SAME)
def test_of_a_bucket_that_is_not_there(
    s3: Any, fresh_name: Callable[[], str], operation: str, asked: dict[str, Any]
) -> None:
    with refused(404, "NoSuchBucket"):
        getattr(s3, operation)(Bucket=fresh_name(), **asked)


@pytest.mark.parametrize(("operation", "asked"), PROMISES)
def test_what_nobody_would_keep_is_refused(
    s3: Any, bucket: str, server: Any, operation: str, asked: dict[str, Any]
) -> None:
    if server is None:
        pytest.skip("other stores may keep it")
    with refused(501, "NotImplemented"):
        getattr(s3, operation)(Bucket=bucket, **asked)


def test_payer_that_is_no_word_of_S3(s3: Any, bucket: str) -> None:
    with refused(400, "MalformedXML"):
        s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Somebody"})
