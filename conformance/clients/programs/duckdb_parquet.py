"""DuckDB's httpfs: write and read Parquet by s3:// addresses."""

import os
import sys
from urllib.parse import urlsplit

import duckdb
from ending import end

bucket = sys.argv[1]
parts = urlsplit(os.environ["AWS_ENDPOINT_URL"])
database = duckdb.connect()
try:
    database.execute("INSTALL httpfs; LOAD httpfs;")
except duckdb.Error as error:
    print(f"no httpfs: {error}")
    sys.exit(0)
database.execute(
    f"CREATE SECRET (TYPE s3, PROVIDER config, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', "
    f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', REGION '{os.environ['AWS_REGION']}', "
    f"ENDPOINT '{parts.netloc}', URL_STYLE 'path', USE_SSL {parts.scheme == 'https'})"
)
address = f"s3://{bucket}/d/n.parquet"
database.sql("SELECT range AS n FROM range(100000)").write_parquet(address)
assert database.read_parquet(address).sum("n").fetchone() == (4999950000,)
end()
