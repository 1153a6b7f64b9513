"""Header values that can neither split nor forge an answer."""

from datetime import UTC, datetime

import pytest

from gateway.errors import StorageError
from gateway.wire.headers import (
    attachment,
    http_date,
    safe_value,
    stored_content_encoding,
    user_metadata,
)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0", "\x1b[31m", "\x7f"])
def test_control_characters_are_refused(value: str) -> None:
    with pytest.raises(StorageError, match="InvalidArgument"):
        safe_value(value)
    with pytest.raises(StorageError, match="InvalidArgument"):
        user_metadata([("x-amz-meta-a", value)])


def test_text_is_sent_as_utf8() -> None:
    assert safe_value("grün\t😀") == "grün\t😀".encode()


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        ("", None),
        ("aws-chunked", None),
        ("AWS-Chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("gzip, br", "gzip, br"),
        ("aws-chunked, aws-chunked", None),
    ],
)
def test_stored_content_encoding(value: str | None, stored: str | None) -> None:
    assert stored_content_encoding(value) == stored


def test_user_metadata() -> None:
    headers = [
        ("X-Amz-Meta-Colour", "blue"),
        ("content-type", "a/b"),
        ("x-amz-meta-colour", "red"),
        ("x-amz-meta-", ""),
    ]
    assert user_metadata(headers) == {"colour": "blue,red", "": ""}


def test_user_metadata_over_two_kibibytes() -> None:
    assert user_metadata([("x-amz-meta-a", "x" * 2047)])
    with pytest.raises(StorageError, match="MetadataTooLarge"):
        user_metadata([("x-amz-meta-a", "x" * 2048)])
    with pytest.raises(StorageError, match="MetadataTooLarge"):
        user_metadata([(f"x-amz-meta-{n}", "é") for n in range(1000)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("a/b/report.pdf", 'attachment; filename="report.pdf"'),
        ("..\\evil.exe", 'attachment; filename="evil.exe"'),
        ('a"b', "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"),
        ("grün.txt", "attachment; filename=\"gr_n.txt\"; filename*=UTF-8''gr%C3%BCn.txt"),
        ("a\r\nb", 'attachment; filename="ab"'),
        ("\u202egpj.exe", 'attachment; filename="gpj.exe"'),
        ("100%", "attachment; filename=\"100_\"; filename*=UTF-8''100%25"),
        ("", "attachment"),
        ("dir/", "attachment"),
    ],
)
def test_attachment(name: str, value: str) -> None:
    assert attachment(name) == value


def test_http_date() -> None:
    assert http_date(datetime(1994, 11, 6, 8, 49, 37, 999, tzinfo=UTC)) == "Sun, 06 Nov 1994 08:49:37 GMT"
