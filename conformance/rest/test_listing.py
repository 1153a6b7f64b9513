"""Listings of the JSON API: folders by offset, keys by cursor."""

from collections.abc import Iterator
from typing import Any

import pytest

from conformance.rest.client import Api

# in the order of their upload
KEYS = ["b/2.txt", "a.txt", "b/1.txt", "c/d/deep.txt", "B.txt", "b/x%y_z.txt", "c.txt", "ü.txt", "b.txt"]


@pytest.fixture(scope="module")
def tree(service: Api, nobody: Api) -> Iterator[str]:
    import os

    bucket = service.make_bucket(f"rest-tree-{os.getpid()}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    for key in KEYS:
        service.upload(bucket, key)
    yield bucket
    service.send("POST", f"/bucket/{bucket}/empty")
    service.send("DELETE", f"/bucket/{bucket}")


def folder(api: Api, bucket: str, **asked: Any) -> list[str]:
    return [entry["name"] for entry in api.send("POST", f"/object/list/{bucket}", {"prefix": ""} | asked).json]


def pages(api: Api, bucket: str, **asked: Any) -> tuple[list[str], list[str]]:
    """All objects and all folders, page by page."""
    objects: list[str] = []
    folders: list[str] = []
    cursor = None
    for _ in range(30):
        body = asked | ({"cursor": cursor} if cursor else {})
        page = api.send("POST", f"/object/list-v2/{bucket}", body).json
        assert len(page["objects"]) + len(page["folders"]) <= asked.get("limit", 1000)
        objects += [entry["name"] for entry in page["objects"]]
        folders += [entry["name"] for entry in page["folders"]]
        if not page["hasNext"]:
            assert "nextCursor" not in page
            return objects, folders
        cursor = page["nextCursor"]
    raise AssertionError("the pages never end")


def test_listObjects_folder(service: Api, tree: str) -> None:
    entries = service.send("POST", f"/object/list/{tree}", {"prefix": ""}).json
    assert [entry["name"] for entry in entries] == ["B.txt", "a.txt", "b.txt", "b", "c.txt", "c", "ü.txt"]
    found = {entry["name"]: entry for entry in entries}
    assert found["b"] == {
        "name": "b", "id": None, "updated_at": None, "created_at": None, "last_accessed_at": None, "metadata": None,
    }  # fmt: skip
    assert found["a.txt"]["metadata"]["mimetype"] == "text/plain"
    assert found["a.txt"]["metadata"]["size"] == 7
    assert found["a.txt"]["id"]


@pytest.mark.parametrize("prefix", ["b", "b/"])
def test_listObjects_names_are_relative(service: Api, tree: str, prefix: str) -> None:
    assert folder(service, tree, prefix=prefix) == ["1.txt", "2.txt", "x%y_z.txt"]
    assert folder(service, tree, prefix="c/d") == ["deep.txt"]
    assert folder(service, tree, prefix="none") == []


def test_listObjects_search(service: Api, tree: str) -> None:
    assert folder(service, tree, search="B") == ["B.txt", "b.txt", "b"]
    assert folder(service, tree, prefix="b", search="x%") == ["x%y_z.txt"]
    assert folder(service, tree, prefix="b", search="%") == []
    assert folder(service, tree, search="_") == []


def test_listObjects_order_and_pages(service: Api, tree: str) -> None:
    by_name = folder(service, tree)
    assert folder(service, tree, sortBy={"column": "name", "order": "desc"}) == by_name[::-1]
    for column in ("created_at", "updated_at", "last_accessed_at"):
        files = [key for key in KEYS if "/" not in key]
        assert folder(service, tree, sortBy={"column": column}) == ["b", "c", *files]
        assert folder(service, tree, sortBy={"column": column, "order": "desc"}) == ["c", "b", *files[::-1]]
    paged = [each for offset in range(0, 8, 2) for each in folder(service, tree, limit=2, offset=offset)]
    assert paged == by_name


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("column", ["name", "created_at", "updated_at"])
def test_listObjectsV2_pages(service: Api, tree: str, limit: int, order: str, column: str) -> None:
    expected = sorted(KEYS, key=str.encode) if column == "name" else KEYS
    asked: dict[str, Any] = {"limit": limit, "sortBy": {"column": column, "order": order}}
    assert pages(service, tree, **asked) == (expected[:: 1 if order == "asc" else -1], [])
    objects, folders = pages(service, tree, with_delimiter=True, **asked)
    files = [key for key in expected if "/" not in key]
    assert objects == files[:: 1 if order == "asc" else -1]
    assert folders == ["b/", "c/"][:: 1 if order == "asc" else -1]


def test_listObjectsV2_prefix_is_literal(service: Api, tree: str) -> None:
    assert pages(service, tree, prefix="b") == (["b.txt", "b/1.txt", "b/2.txt", "b/x%y_z.txt"], [])
    assert pages(service, tree, prefix="b/x%") == (["b/x%y_z.txt"], [])
    assert pages(service, tree, prefix="_") == ([], [])
    assert pages(service, tree, prefix="c", with_delimiter=True) == (["c.txt"], ["c/"])
    page = service.send("POST", f"/object/list-v2/{tree}", {"prefix": "c/", "with_delimiter": True}).json
    assert page["folders"] == [{"key": "d", "name": "c/d/"}]


@pytest.mark.parametrize("limit", [0, -5, 5000])
def test_listObjectsV2_limit_is_brought_into_range(service: Api, tree: str, limit: int) -> None:
    page = service.send("POST", f"/object/list-v2/{tree}", {"limit": limit}).json
    assert len(page["objects"]) == (1 if limit < 1 else len(KEYS))


@pytest.mark.parametrize(
    "cursor", ["x", "bDphCg==", "bzphc2M=", "YTo5OTk5OTk5OTk5OTk5OTk5OTk5OTk5CmM6bmFtZQpsOmE=", "=" * 9]
)
def test_listObjectsV2_cursor_that_is_none(service: Api, tree: str, cursor: str) -> None:
    answer = service.send("POST", f"/object/list-v2/{tree}", {"cursor": cursor})
    assert answer.status in (200, 400)
    if answer.status == 400:
        assert answer.code == (400, "400", "InvalidParameter")


def test_listings_show_what_policies_show(alice: Api, service: Api, shared: str) -> None:
    from conformance.rest.tokens import ALICE

    service.upload(shared, f"{ALICE}/mine")
    service.upload(shared, "theirs/k")
    assert folder(alice, shared) == [ALICE]
    assert pages(alice, shared) == ([f"{ALICE}/mine"], [])
