"""minio-py: objects, multipart, listing, copy, bulk deletion, presigned URLs."""

import io
import os
import sys
from urllib.parse import urlsplit

from ending import end
from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

bucket = sys.argv[1]
parts = urlsplit(os.environ["AWS_ENDPOINT_URL"])
client = Minio(
    parts.netloc,
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    region=os.environ["AWS_REGION"],
    secure=parts.scheme == "https",
)
assert client.bucket_exists(bucket)
client.put_object(bucket, "dir/ü b", io.BytesIO(b"hello"), 5, content_type="text/plain", metadata={"a": "1"})
assert client.stat_object(bucket, "dir/ü b").metadata["x-amz-meta-a"] == "1"
large = os.urandom(1024) * 12 * 1024
client.put_object(bucket, "large", io.BytesIO(large), -1, part_size=5 * 1024 * 1024)
with client.get_object(bucket, "large", offset=5 * 1024 * 1024 - 1, length=3) as answer:
    assert answer.read() == large[5 * 1024 * 1024 - 1 :][:3]
client.copy_object(bucket, "copy", CopySource(bucket, "dir/ü b"))
assert [entry.object_name for entry in client.list_objects(bucket, recursive=True)] == ["copy", "dir/ü b", "large"]
assert [entry.object_name for entry in client.list_objects(bucket)] == ["copy", "dir/", "large"] or [
    entry.object_name for entry in client.list_objects(bucket) if entry.is_dir
] == ["dir/"]
assert client.presigned_get_object(bucket, "copy").startswith(os.environ["AWS_ENDPOINT_URL"])
try:
    client.stat_object(bucket, "nobody")
except S3Error as error:
    code = error.code
else:
    code = "found"
assert code == "NoSuchKey"
assert list(client.remove_objects(bucket, [DeleteObject(name) for name in ("copy", "dir/ü b", "large")])) == []
assert list(client.list_objects(bucket, recursive=True)) == []
end()
