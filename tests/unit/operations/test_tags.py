"""Sets of tags against S3's limits."""

import pytest

from gateway.errors import StorageError
from gateway.operations.shapes import Tag
from gateway.operations.tags import bucket_tags, header_tags, object_tags, tag_set


def tags(*keys: str) -> list[Tag]:
    return [Tag(key=key, value="v") for key in keys]


def test_ten_for_an_object_and_fifty_for_a_bucket() -> None:
    assert len(object_tags(tags(*map(str, range(10))))) == 10
    assert len(bucket_tags(tags(*map(str, range(50))))) == 50
    with pytest.raises(StorageError, match="Object tags cannot be greater than 10"):
        object_tags(tags(*map(str, range(11))))
    with pytest.raises(StorageError, match="Bucket tag count cannot be greater than 50"):
        bucket_tags(tags(*map(str, range(51))))


@pytest.mark.parametrize("key", ["", "k" * 129, "aws:k", "Aws:k", "a&b", "a\0", "\ud800", "a\u200b"])
def test_bad_key(key: str) -> None:
    with pytest.raises(StorageError, match="InvalidTag"):
        object_tags(tags(key))


@pytest.mark.parametrize("key", ["k" * 128, "a b", "äöü", "日本", "+-=._:/@", "a:aws:", "1\u0662"])
def test_good_key(key: str) -> None:
    assert object_tags(tags(key)) == {key: "v"}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a&b=", {"a": "", "b": ""}),
        ("&a=1&", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a+b=%D0%BA", {"a b": "к"}),
    ],
)
def test_header(header: str | None, found: dict[str, str] | None) -> None:
    assert header_tags(header) == found


@pytest.mark.parametrize("header", ["a=1&a=1", "a=1&%61=2", "a=%ff"])
def test_unreadable_header(header: str) -> None:
    with pytest.raises(StorageError, match="InvalidArgument") as caught:
        header_tags(header)
    assert caught.value.fields["ArgumentName"] == "x-amz-tagging"


def test_answer_is_in_the_order_of_the_keys() -> None:
    assert [tag.key for tag in tag_set({"foo": "", "b": "", "Hello": ""})] == ["Hello", "b", "foo"]
    assert tag_set(None) == ()
