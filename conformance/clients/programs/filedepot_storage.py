"""filedepot's boto3 backend: a bucket it makes itself, files with names and types, replacement, public URLs."""

import io
import os
import sys
import urllib.error
import urllib.request

from depot.io.boto3 import S3Storage
from ending import end

bucket = sys.argv[1]


def storage(name: str, **options: str) -> S3Storage:
    return S3Storage(
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        bucket=name,
        region_name=os.environ["AWS_REGION"],
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        **options,
    )


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - the URL filedepot gave
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


# The client it asks for the public access block with gets its endpoint from AWS_ENDPOINT_URL alone.
public = storage(f"{bucket}-depot", prefix="files/")
content = os.urandom(100_000)
public_id = public.create(io.BytesIO(content), filename="größe & co.png", content_type="image/png")
stored = public.get(public_id)
assert (stored.filename, stored.content_type, stored.content_length) == ("größe & co.png", "image/png", len(content))
assert stored.last_modified is not None
assert stored.read(10) + stored.read() == content
stored.close()
assert fetch(public.get(public_id).public_url) == (200, content)

public.replace(public_id, b"another", filename="other.txt", content_type="text/plain")
stored = public.get(public_id)
assert (stored.read(), stored.filename, stored.content_type) == (b"another", "other.txt", "text/plain")
assert fetch(stored.public_url) == (200, b"another")
assert public.list() == [public_id]
assert public.exists(public_id)

private = storage(bucket, policy="private", storage_class="STANDARD")
private_id = private.create(b"for few", filename="secret.txt", content_type="text/plain")
assert private.get(private_id).read() == b"for few"
assert fetch(private.get(private_id).public_url)[0] == 403
kept = private.get(private_id)
backup = public.replace(kept, kept)  # as its documentation copies files to another storage
assert public.get(backup).read() == b"for few"

for each, file_id in ((public, public_id), (public, backup), (private, private_id)):
    each.delete(file_id)
    assert not each.exists(file_id)
    try:
        each.get(file_id)
    except OSError:
        continue
    raise AssertionError("a deleted file was read")
assert public.list() == private.list() == []
public._s3.Bucket(f"{bucket}-depot").delete()
end()
