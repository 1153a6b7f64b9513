-- Fills a bucket of a Rowlock database with one-byte objects, as a superuser: $1 bucket, $2 number of keys, $3 keys a
-- directory. The rows are as a PUT leaves them, so that pages have the same size. Ordinary triggers are left out, so that
-- ten million keys take minutes and not hours.
WITH quiet AS MATERIALIZED (SELECT set_config('session_replication_role', 'replica', true) AS role),
made AS MATERIALIZED (
    INSERT INTO storage.buckets (id, name) SELECT $1::text, $1::text FROM quiet
    ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO storage.objects (bucket_id, name, size_bytes, etag, content, metadata,
    checksum_algorithm, checksum_type, checksum_value)
SELECT $1::text,
    'd' || lpad((number / $3::integer)::text, 5, '0') || '/k' || lpad((number % $3::integer)::text, 6, '0'),
    1, 'c4ca4238a0b923820dcc509a6f75849b', '\x31'::bytea,
    '{"size": 1, "mimetype": "binary/octet-stream", "eTag": "\"c4ca4238a0b923820dcc509a6f75849b\""}'::jsonb,
    'CRC64NVME', 'FULL_OBJECT', 'I5Whw0YbvtI='
FROM (SELECT count(*) AS buckets FROM made) AS first, quiet, generate_series(0, $2::integer - 1) AS number;
