"""storage3, the Python client: every method of its synchronous and its asynchronous half, success and failure.

Run by pytest in the environment that has it; ``conformance/clients/test_storage3.py`` reports each test as its own.
"""

import asyncio
import inspect
import io
import itertools
import json
import os
from collections import defaultdict

import httpx
import pytest
from storage3 import AsyncStorageClient, SyncStorageClient
from storage3._async.file_api import AsyncBucketProxy
from storage3._sync.file_api import SyncBucketProxy
from storage3.exceptions import StorageApiError

TARGET = json.loads(os.environ["SUPABASE_TARGET"])
URL = f"{TARGET['url']}/storage/v1/"
TEXT = "Grüße, 世界"
ENDS = defaultdict(set)
numbers = itertools.count(1)
# What sends nothing cannot be refused; those of the render route are left out on purpose.
SENDS_NOTHING = {"from_", "get_public_url", "vectors", "analytics"}


class Caller:
    """A client or a bucket of either half whose methods are called alike, and whose calls' ends are kept."""

    def __init__(self, half, found, loop):
        self._half, self._found, self._loop = half, found, loop

    def __getattr__(self, name):
        method = getattr(self._found, name)

        def call(*given, **named):
            seen = ENDS[self._half, name]
            try:
                result = method(*given, **named)
                if inspect.isawaitable(result):
                    result = self._loop.run_until_complete(result)
            except StorageApiError:
                seen.add("failed")
                raise
            seen.add("succeeded")
            return Caller(self._half, result, self._loop) if name in ("from_", "vectors", "analytics") else result

        return call


class Project:
    """Everybody who may call, by one half of the library."""

    def __init__(self, half, loop):
        self.half, self._loop = half, loop
        self.service = self.by(TARGET["serviceKey"])
        self.anon = self.by(TARGET["anonKey"])
        self.alice = self.by(TARGET["aliceToken"])
        self.bob = self.by(TARGET["bobToken"])
        self.stranger = self.by("no.good.token")

    def by(self, token):
        kind = SyncStorageClient if self.half == "sync" else AsyncStorageClient
        client = kind(URL, {"apikey": TARGET["anonKey"], "Authorization": f"Bearer {token}"})
        return Caller(self.half, client, self._loop)

    def fresh(self):
        return f"py-{os.getpid()}-{next(numbers)}"

    def bucket(self, **options):
        name = self.fresh()
        assert self.service.create_bucket(name, options=options) == {"name": name}
        return name

    def files(self, **options):
        return self.service.from_(self.bucket(**options))


@pytest.fixture(scope="module", params=["sync", "async"])
def project(request):
    loop = asyncio.new_event_loop()
    yield Project(request.param, loop)
    loop.close()


def refused(status, code, call, *given, **named):
    with pytest.raises(StorageApiError) as caught:
        call(*given, **named)
    assert (str(caught.value.status), caught.value.code) == (status, code), caught.value.message
    return caught.value


def test_create_and_get_bucket(project):
    name = project.bucket(public=True, file_size_limit=1024, allowed_mime_types=["image/*"])
    found = project.service.get_bucket(name)
    assert (found.id, found.name, found.public, found.file_size_limit) == (name, name, True, 1024)
    assert found.allowed_mime_types == ["image/*"]
    assert isinstance(found.owner, str)
    other = project.fresh()
    assert project.service.create_bucket(other, other) == {"name": other}


def test_create_bucket_refused(project):
    refused("409", "Duplicate", project.service.create_bucket, project.bucket())
    refused("400", "Invalid Input", project.service.create_bucket, "a/b")
    refused("403", "Unauthorized", project.anon.create_bucket, project.fresh())
    refused("403", "Unauthorized", project.stranger.create_bucket, project.fresh())


def test_get_bucket_refused(project):
    refused("404", "Bucket not found", project.service.get_bucket, project.fresh())
    refused("404", "Bucket not found", project.alice.get_bucket, project.bucket())


def test_list_buckets(project):
    name = project.bucket()
    assert name in {bucket.name for bucket in project.service.list_buckets()}
    assert {bucket.type for bucket in project.service.list_buckets()} == {"STANDARD"}
    assert [bucket.name for bucket in project.anon.list_buckets()] == [TARGET["visibleBucket"]]
    refused("403", "Unauthorized", project.stranger.list_buckets)


def test_update_bucket(project):
    name = project.bucket(file_size_limit=10)
    assert project.service.update_bucket(name, {"public": True}) == {"message": "Successfully updated"}
    found = project.service.get_bucket(name)
    assert (found.public, found.file_size_limit) == (True, 10)
    refused("404", "Bucket not found", project.bob.update_bucket, name, {"public": False})


def test_empty_and_delete_bucket(project):
    name = project.bucket()
    project.service.from_(name).upload("a/b", b"x")
    refused("409", "ResourceNotEmpty", project.service.delete_bucket, name)
    refused("404", "Bucket not found", project.bob.empty_bucket, name)
    assert "queued" in project.service.empty_bucket(name)["message"]
    assert project.service.delete_bucket(name) == {"message": "Successfully deleted"}
    refused("404", "Bucket not found", project.service.empty_bucket, name)


def test_upload_of_bytes_paths_and_files(project, tmp_path):
    path = tmp_path / "käse.txt"
    path.write_bytes(TEXT.encode())
    files = project.files()
    buffered, unbuffered = path.open("rb"), io.FileIO(path)
    with buffered, unbuffered:
        bodies = {"bytes": TEXT.encode(), "path": path, "text": str(path), "reader": buffered, "raw": unbuffered}
        for name, body in bodies.items():
            done = files.upload(f"d/{name} ü", body, {"content-type": "text/x", "cache-control": "60"})
            assert (done.path, done.full_path) == (f"d/{name} ü", f"{files._found.id}/d/{name} ü")
            assert files.download(f"d/{name} ü").decode() == TEXT
            info = files.info(f"d/{name} ü")
            assert (info["content_type"], info["cache_control"]) == ("text/x", "max-age=60")


def test_upload_of_an_empty_and_a_large_file(project):
    files = project.files()
    files.upload("empty", b"")
    files.upload("large", bytes(1_500_000))
    assert (files.info("empty")["size"], files.info("large")["size"]) == (0, 1_500_000)


def test_upload_with_metadata(project):
    files = project.files()
    metadata = {"plain": "x", "nested": {"list": [1, None]}}
    files.upload("a", b"x", {"metadata": metadata, "headers": {"x-robots-tag": "all"}})
    assert files.info("a")["metadata"] == metadata
    assert httpx.get(files.create_signed_url("a", 60)["signedUrl"]).headers["x-robots-tag"] == "all"


def test_upload_over_what_is_there(project):
    files = project.files()
    files.upload("a", b"first")
    refused("409", "Duplicate", files.upload, "a", b"second")
    assert files.download("a") == b"first"
    files.upload("a", b"third", {"upsert": "true"})
    assert files.download("a") == b"third"


def test_update(project):
    files = project.files()
    files.update("a", b"first")
    files.update("a", b"second", {"content-type": "text/x"})
    assert (files.download("a"), files.info("a")["content_type"]) == (b"second", "text/x")
    refused("404", "Bucket not found", project.service.from_(project.fresh()).update, "a", b"x")


def test_limits_of_a_bucket(project):
    files = project.files(file_size_limit=10, allowed_mime_types=["image/*"])
    refused("413", "Payload too large", files.upload, "a", bytes(11), {"content-type": "image/png"})
    refused("415", "invalid_mime_type", files.upload, "a", b"x", {"content-type": "text/plain"})
    files.upload("a", bytes(10), {"content-type": "image/png"})


def test_policies_decide_by_folder(project):
    bucket, alice = TARGET["sharedBucket"], TARGET["aliceId"]
    key = f"{alice}/{project.fresh()}"
    project.alice.from_(bucket).upload(key, b"hers")
    assert project.alice.from_(bucket).download(key) == b"hers"
    assert project.alice.from_(bucket).exists(key) is True
    for caller in (project.bob, project.anon):
        refused("404", "not_found", caller.from_(bucket).download, key)
        refused("403", "Unauthorized", caller.from_(bucket).upload, f"{alice}/{project.fresh()}", b"x")
        assert caller.from_(bucket).exists(key) is False
        assert caller.from_(bucket).remove([key]) == []
    refused("403", "Unauthorized", project.alice.from_(bucket).upload, f"{TARGET['bobId']}/x", b"x")


def test_signed_upload(project):
    bucket, key = TARGET["sharedBucket"], f"{TARGET['aliceId']}/{project.fresh()} ü"
    made = project.alice.from_(bucket).create_signed_upload_url(key)
    assert made["token"] in made["signed_url"]
    files = project.anon.from_(bucket)
    refused("400", "InvalidSignature", files.upload_to_signed_url, f"{key}2", made["token"], b"x")
    done = files.upload_to_signed_url(key, made["token"], b"by url", {"content-type": "text/x", "metadata": {"a": 1}})
    assert (done.path, done.full_path) == (key, f"{bucket}/{key}")
    refused("409", "Duplicate", files.upload_to_signed_url, key, made["token"], b"again")
    info = project.alice.from_(bucket).info(key)
    assert (info["content_type"], info["metadata"]) == ("text/x", {"a": 1})
    refused("403", "Unauthorized", files.create_signed_upload_url, f"{key}3")
    refused("409", "Duplicate", project.alice.from_(bucket).create_signed_upload_url, key)


def test_signed_urls(project):
    files = project.files()
    files.upload("a/ü", b"content")
    url = files.create_signed_url("a/ü", 60, {"download": "n.txt"})["signedURL"]
    answer = httpx.get(url)
    assert (answer.content, answer.headers["content-disposition"]) == (
        b"content", "attachment; filename=n.txt; filename*=UTF-8''n.txt",
    )  # fmt: skip
    refused("404", "not_found", files.create_signed_url, "none", 60)
    first, second = files.create_signed_urls(["none", "a/ü"], 60, {"download": True})
    assert (first["signedURL"], first["error"] is None) == (None, False)
    assert httpx.get(second["signedURL"]).headers["content-disposition"] == "attachment;"
    refused("400", "Error", files.create_signed_urls, [], 60)


def test_public_url(project):
    name = project.bucket(public=True)
    files = project.service.from_(name)
    files.upload("a/ü", b"content")
    assert httpx.get(files.get_public_url("a/ü")).content == b"content"
    assert httpx.get(files.get_public_url("a/ü", {"download": True})).headers["content-disposition"] == "attachment;"
    assert project.anon.from_(name).download("a/ü", query_params={"download": ""}) == b"content"
    assert httpx.get(project.files().get_public_url("a")).status_code == 400


def test_info_and_exists(project):
    files = project.files()
    files.upload("a", b"content")
    assert files.exists("a") is True
    assert files.exists("b") is False
    refused("404", "not_found", files.info, "b")
    refused("404", "Bucket not found", project.service.from_(project.fresh()).exists, "a")


def test_download_refused(project):
    refused("404", "not_found", project.files().download, "none")
    refused("404", "Bucket not found", project.service.from_(project.fresh()).download, "none")


def test_move_and_copy(project):
    files = project.files()
    files.upload("a", b"content", {"content-type": "text/x"})
    assert files.move("a", "b/ü")["message"] == "Successfully moved"
    assert files.copy("b/ü", "c")["Key"] == f"{files._found.id}/c"
    assert (files.download("c"), files.info("c")["content_type"]) == (b"content", "text/x")
    assert files.exists("a") is False
    refused("404", "not_found", files.move, "a", "d")
    refused("404", "not_found", files.copy, "a", "d")
    refused("409", "Duplicate", files.copy, "b/ü", "c")
    refused("409", "Duplicate", files.move, "b/ü", "c")


def test_list(project):
    files = project.files()
    for key in ("f/a", "f/b", "f/s/x"):
        files.upload(key, b"x")
    assert [entry["name"] for entry in files.list("f")] == ["a", "b", "s"]
    assert [entry["id"] is None for entry in files.list("f")] == [False, False, True]
    found = files.list("f", {"limit": 1, "offset": 1, "sortBy": {"column": "name", "order": "desc"}})
    assert [entry["name"] for entry in found] == ["b"]
    assert [entry["name"] for entry in files.list("f", {"search": "a"})] == ["a"]
    assert [entry["name"] for entry in files.list()] == ["f"]
    refused("404", "Bucket not found", project.service.from_(project.fresh()).list)


def test_list_v2(project):
    files = project.files()
    keys = ["a", "b/c", "d", "e"]
    for key in keys:
        files.upload(key, b"x")
    found, cursor = [], None
    while True:
        page = files.list_v2({"limit": 2, **({"cursor": cursor} if cursor else {})})
        found += [entry.name for entry in page.objects]
        cursor = page.nextCursor
        if not page.hasNext:
            break
    assert found == keys
    page = files.list_v2({"with_delimiter": True, "sortBy": {"column": "name", "order": "desc"}})
    assert [entry.name for entry in page.folders] == ["b/"]
    assert [entry.name for entry in page.objects] == ["e", "d", "a"]
    refused("404", "Bucket not found", project.service.from_(project.fresh()).list_v2)


def test_remove(project):
    files = project.files()
    for key in ("a", "b/ü"):
        files.upload(key, b"x")
    assert sorted(row["name"] for row in files.remove(["a", "b/ü", "none"])) == ["a", "b/ü"]
    refused("400", "Error", files.remove, [])


def test_analytics_and_vectors_are_not_there(project):
    with pytest.raises(Exception, match="not found"):
        project.service.analytics().list()
    with pytest.raises(Exception, match="not found"):
        project.service.vectors().list_buckets()


def test_every_method_succeeds_and_fails_somewhere(project):
    """A method that a new release brings fails here until it has tests."""
    sync = project.half == "sync"
    kinds = (SyncStorageClient, SyncBucketProxy) if sync else (AsyncStorageClient, AsyncBucketProxy)
    for kind in kinds:
        for name in dir(kind):
            if name.startswith("_") or not inspect.isfunction(getattr(kind, name)):
                continue
            wanted = {"succeeded"} if name in SENDS_NOTHING else {"succeeded", "failed"}
            assert ENDS[project.half, name] >= wanted, name
