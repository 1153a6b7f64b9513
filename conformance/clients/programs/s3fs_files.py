"""s3fs: files, directories, exclusive creation, ranges, bulk deletion."""

import os
import sys

import s3fs
from ending import end

bucket = sys.argv[1]
fs = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"], config_kwargs={"s3": {"addressing_style": "path"}})

with fs.open(f"{bucket}/dir/small.txt", "wb") as file:
    file.write(b"small")
assert fs.cat(f"{bucket}/dir/small.txt") == b"small"
assert fs.info(f"{bucket}/dir")["type"] == "directory"
assert not fs.exists(f"{bucket}/nobody")

large = os.urandom(1024) * 12 * 1024
with fs.open(f"{bucket}/dir/large.bin", "wb", block_size=5 * 1024 * 1024) as file:
    file.write(large)
with fs.open(f"{bucket}/dir/large.bin", "rb") as file:
    file.seek(5 * 1024 * 1024 - 3)
    assert file.read(9) == large[5 * 1024 * 1024 - 3 :][:9]
assert fs.cat_file(f"{bucket}/dir/large.bin", start=-4) == large[-4:]

try:
    with fs.open(f"{bucket}/dir/small.txt", "xb") as file:
        file.write(b"other")
except OSError:
    pass
else:
    raise AssertionError("mode xb overwrote a file")
assert fs.cat(f"{bucket}/dir/small.txt") == b"small"

fs.copy(f"{bucket}/dir/small.txt", f"{bucket}/copy/ü b.txt")
fs.mv(f"{bucket}/copy/ü b.txt", f"{bucket}/moved.txt")
fs.invalidate_cache()
assert sorted(fs.find(bucket)) == [f"{bucket}/dir/large.bin", f"{bucket}/dir/small.txt", f"{bucket}/moved.txt"]
fs.pipe({f"{bucket}/many/{number}": b"v" for number in range(30)})
fs.rm(f"{bucket}/many", recursive=True)
fs.invalidate_cache()
assert not fs.exists(f"{bucket}/many")
end()
