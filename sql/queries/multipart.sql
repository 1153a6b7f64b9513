-- name: create_multipart_upload
SELECT rowlock.create_multipart_upload(
    %(upload_id)s::text, %(bucket)s::text, %(key)s::text, %(version)s::text, %(owner_id)s::text, %(metadata)s::jsonb,
    %(user_metadata)s::jsonb, coalesce(rowlock.bucket_backend(%(bucket)s::text), %(backend)s::text),
    %(checksum_algorithm)s::text, %(checksum_type)s::text,
    %(attributes)s::jsonb)
FROM rowlock.probe_put_object(
    %(bucket)s::text, %(key)s::text, %(owner_id)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    NULL, NULL, NULL) AS default_encryption,
    LATERAL rowlock.require_encryption(default_encryption, %(attributes)s::jsonb) AS accepted;

-- name: probe_part
SELECT probed.backend, probed.version, probed.checksum_algorithm, probed.checksum_type, probed.attributes
FROM rowlock.probe_part(%(upload_id)s::text, %(bucket)s::text, %(key)s::text, %(size_bytes)s::bigint) AS probed;

-- name: record_part
SELECT rowlock.record_part(
    %(upload_id)s::text, %(bucket)s::text, %(key)s::text, %(part_number)s::integer, %(epoch)s::integer,
    %(backend)s::text, %(blob_id)s::text, %(size_bytes)s::bigint, %(etag)s::text,
    %(checksum_algorithm)s::text, %(checksum_value)s::text, %(owner_id)s::text);

-- name: list_parts
-- The upload, probed as the caller, and a page of its parts; one row without a part where there is none.
SELECT upload.backend, upload.checksum_algorithm, upload.checksum_type,
    part.part_number, part.size, part.etag, part.created_at, part.blob_id, part.checksum_algorithm, part.checksum_value,
    whose.owner_id, whose.initiator_id, upload.storage_class
FROM rowlock.probe_part(%(upload_id)s::text, %(bucket)s::text, %(key)s::text, NULL) AS upload
CROSS JOIN rowlock.upload_owner(%(upload_id)s::text) AS whose
LEFT JOIN rowlock.upload_parts(%(upload_id)s::text, %(after)s::integer, %(page_size)s::integer) AS part ON true
ORDER BY part.part_number;

-- name: lock_upload
SELECT u.version, u.owner_id, u.metadata, u.user_metadata, u.backend, u.checksum_algorithm, u.checksum_type, u.answer,
    u.attributes
FROM rowlock.lock_upload(%(upload_id)s::text, %(bucket)s::text, %(key)s::text) AS u;

-- name: all_parts
SELECT part.part_number, part.size, part.etag, part.created_at, part.blob_id, part.checksum_algorithm, part.checksum_value
FROM rowlock.upload_parts(%(upload_id)s::text, 0, 10000) AS part
ORDER BY part.part_number;

-- name: finish_upload
SELECT rowlock.finish_upload(%(upload_id)s::text, %(blob_ids)s::text[], %(answer)s::jsonb);

-- name: completed_answer
-- What an earlier completion of this upload answered, should its COMMIT have been lost on the way.
SELECT u.answer
FROM rowlock.lock_upload(%(upload_id)s::text, %(bucket)s::text, %(key)s::text) AS u;

-- name: abort_upload
SELECT rowlock.abort_upload(%(upload_id)s::text, %(bucket)s::text, %(key)s::text)
FROM rowlock.probe_part(%(upload_id)s::text, %(bucket)s::text, %(key)s::text, NULL) AS probed;

-- name: list_uploads
-- A page of open uploads in S3's order: by key, within a key by the time they began.
SELECT u.key, u.id, u.created_at, u.owner_id, u.checksum_algorithm, u.checksum_type, u.metadata ->> 'storageClass'
FROM storage.s3_multipart_uploads AS u
WHERE u.bucket_id = %(bucket)s::text AND u.completed_at IS NULL
    AND u.key >= %(lower)s::text COLLATE "C" AND u.key < %(upper)s::text COLLATE "C"
    AND (u.key > %(after_key)s::text COLLATE "C"
        OR (u.created_at, u.id COLLATE "C") > (%(after_created_at)s::timestamptz, %(after_id)s::text))
ORDER BY u.key COLLATE "C", u.created_at, u.id COLLATE "C"
LIMIT %(page_size)s::integer;

-- name: find_upload_start
-- lane: quick
SELECT u.created_at
FROM storage.s3_multipart_uploads AS u
WHERE u.bucket_id = %(bucket)s::text AND u.id = %(upload_id)s::text;
