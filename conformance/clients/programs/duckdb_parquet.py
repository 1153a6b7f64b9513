"""DuckDB's httpfs: write and read Parquet by s3:// addresses."""

import os
import sys
from urllib.parse import urlsplit

import duckdb

bucket = sys.argv[1]
parts = urlsplit(os.environ["AWS_ENDPOINT_URL"])
database = duckdb.connect()
try:
    database.execute("INSTALL httpfs; LOAD httpfs;")
except duckdb.Error as error:
    print(f"no httpfs: {error}")
    sys.exit(0)
database.execute(
    f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', "
    f"REGION '{os.environ['AWS_REGION']}', ENDPOINT '{parts.netloc}', URL_STYLE 'path', USE_SSL {parts.scheme == 'https'})"
)
database.execute(f"COPY (SELECT range AS n FROM range(100000)) TO 's3://{bucket}/d/n.parquet'")
assert database.execute(f"SELECT sum(n) FROM read_parquet('s3://{bucket}/d/*.parquet')").fetchone() == (4999950000,)
print("all right")
