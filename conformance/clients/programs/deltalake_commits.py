"""Delta Lake: several writers append at once, and every commit is there afterwards."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from ending import end

uri = f"s3://{sys.argv[1]}/table"
options = {"AWS_ALLOW_HTTP": "true", "aws_conditional_put": "etag", "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
write_deltalake(uri, pa.table({"n": [0]}), storage_options=options)


def append(number: int) -> None:
    write_deltalake(uri, pa.table({"n": [number]}), mode="append", storage_options=options)


with ThreadPoolExecutor(4) as threads:
    list(threads.map(append, range(1, 13)))
table = DeltaTable(uri, storage_options=options)
assert table.version() == 12, table.version()
assert sorted(table.to_pyarrow_table()["n"].to_pylist()) == list(range(13))
end()
