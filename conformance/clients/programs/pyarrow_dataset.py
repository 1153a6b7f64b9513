"""pyarrow's S3FileSystem (the AWS C++ SDK): a partitioned Parquet dataset there and back, directory semantics."""

import os
import sys

import pyarrow as pa
import pyarrow.dataset as ds
from ending import end
from pyarrow import fs

bucket = sys.argv[1]
scheme, _, address = os.environ["AWS_ENDPOINT_URL"].partition("://")
s3 = fs.S3FileSystem(endpoint_override=address, scheme=scheme, region=os.environ["AWS_REGION"])

table = pa.table({"n": list(range(10_000)), "part": [f"p{n % 4}" for n in range(10_000)]})
ds.write_dataset(
    table,
    f"{bucket}/data",
    filesystem=s3,
    format="parquet",
    partitioning=ds.partitioning(pa.schema([("part", pa.string())]), flavor="hive"),
)
back = ds.dataset(f"{bucket}/data", filesystem=s3, format="parquet", partitioning="hive").to_table()
assert back.num_rows == 10_000
assert sum(back["n"].to_pylist()) == sum(range(10_000))

with s3.open_output_stream(f"{bucket}/stream.bin") as stream:
    for _ in range(12):
        stream.write(b"x" * 1024 * 1024)
assert s3.get_file_info(f"{bucket}/stream.bin").size == 12 * 1024 * 1024
with s3.open_input_file(f"{bucket}/stream.bin") as file:
    assert file.read_at(10, 5) == b"x" * 10

s3.create_dir(f"{bucket}/empty/dir")
assert s3.get_file_info(f"{bucket}/empty/dir").type == fs.FileType.Directory
assert s3.get_file_info(f"{bucket}/nobody").type == fs.FileType.NotFound
s3.copy_file(f"{bucket}/stream.bin", f"{bucket}/copy.bin")
s3.move(f"{bucket}/copy.bin", f"{bucket}/moved.bin")
s3.delete_dir(f"{bucket}/data")
assert s3.get_file_info(f"{bucket}/data").type == fs.FileType.NotFound
end()
