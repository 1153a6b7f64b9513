"""obstore (Rust object_store): conditional writes, listing, multipart, ranges."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import obstore
from ending import end
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

store = S3Store(
    sys.argv[1],
    endpoint=os.environ["AWS_ENDPOINT_URL"],
    region=os.environ["AWS_REGION"],
    virtual_hosted_style_request=False,
    client_options={"allow_http": True},
)
first = obstore.put(store, "k", b"one", mode="create")
try:
    obstore.put(store, "k", b"two", mode="create")
except AlreadyExistsError:
    pass
else:
    raise AssertionError("create overwrote")
second = obstore.put(store, "k", b"two", mode={"e_tag": first["e_tag"]})
try:
    obstore.put(store, "k", b"three", mode={"e_tag": first["e_tag"]})
except PreconditionError:
    pass
else:
    raise AssertionError("update with an old ETag worked")
assert bytes(obstore.get(store, "k").bytes()) == b"two"
assert obstore.head(store, "k")["e_tag"] == second["e_tag"]


def create(number: int) -> bool:
    try:
        obstore.put(store, "lock", str(number).encode(), mode="create")
    except AlreadyExistsError:
        return False
    return True


with ThreadPoolExecutor(16) as threads:
    assert list(threads.map(create, range(16))).count(True) == 1

large = os.urandom(1024) * 12 * 1024
obstore.put(store, "large", large, chunk_size=5 * 1024 * 1024)
assert (
    bytes(obstore.get_range(store, "large", start=5 * 1024 * 1024 - 2, end=5 * 1024 * 1024 + 2))
    == large[5 * 1024 * 1024 - 2 :][:4]
)
for number in range(5):
    obstore.put(store, f"dir/{number}", b"v")
assert sum(len(chunk) for chunk in obstore.list(store, "dir/", chunk_size=2)) == 5
obstore.copy(store, "k", "copy")
obstore.rename(store, "copy", "moved")
obstore.delete(store, [f"dir/{number}" for number in range(5)])
assert obstore.list_with_delimiter(store)["common_prefixes"] == []
end()
