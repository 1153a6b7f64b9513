-- name: find_configuration
-- lane: quick
-- One configuration of a bucket as the caller sees it; with what to say when it sees no bucket.
SELECT c.document, rowlock.bucket_visibility(%(bucket)s::text)
FROM (SELECT) AS once
LEFT JOIN storage.bucket_configurations AS c ON c.bucket_id = %(bucket)s::text AND c.kind = %(kind)s::text;

-- name: put_configuration
INSERT INTO storage.bucket_configurations AS c (bucket_id, kind, document)
VALUES (%(bucket)s::text, %(kind)s::text, %(document)s::jsonb)
ON CONFLICT (bucket_id, kind) DO UPDATE SET document = excluded.document, updated_at = clock_timestamp();

-- name: delete_configuration
SELECT rowlock.delete_configuration(%(bucket)s::text, %(kind)s::text);
