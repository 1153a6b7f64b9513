-- name: probe_pending_upload
SELECT probed.outcome, probed.default_encryption, probed.file_size_limit, rowlock.bucket_backend(%(bucket)s::text)
FROM rowlock.probe_pending_upload(
    %(id)s::uuid, %(bucket)s::text, %(key)s::text, %(mime_type)s::text, %(size_bytes)s::bigint,
    %(limit)s::integer) AS probed;

-- name: record_pending_upload
SELECT rowlock.record_pending_upload(
    %(id)s::uuid, %(bucket)s::text, %(key)s::text, %(owner_id)s::text, %(upsert)s::boolean,
    %(expires_at)s::timestamptz, %(version)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    %(epoch)s::integer, %(backend)s::text, %(blob_id)s::text, %(content)s::bytea, %(size_bytes)s::bigint, %(etag)s::text,
    %(checksum_algorithm)s::text, %(checksum_type)s::text, %(checksum_value)s::text, %(attributes)s::jsonb);

-- name: find_pending_upload
-- The upload, probed as the caller: for whoever may write the object.
SELECT p.id, p.version, p.metadata, p.user_metadata, p.size_bytes, p.etag, p.created_at, p.expires_at
FROM rowlock.pending_upload(%(id)s::uuid, %(bucket)s::text, %(key)s::text) AS p
CROSS JOIN LATERAL rowlock.probe_put_object(
    %(bucket)s::text, %(key)s::text, p.owner_id, p.metadata, p.user_metadata, NULL, NULL, NULL) AS allowed;

-- name: confirm_upload
SELECT rowlock.confirm_upload(
    %(id)s::uuid, %(bucket)s::text, %(key)s::text, %(owner_id)s::text, %(modified)s::text, %(confirmation)s::uuid);

-- name: cancel_upload
SELECT rowlock.cancel_upload(%(id)s::uuid, %(bucket)s::text, %(key)s::text);
