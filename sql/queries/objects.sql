-- name: find_object
-- lane: quick
-- One object with all it takes to answer GET: facts, headers, and where its bytes are (or the bytes themselves).
SELECT o.id, o.version, o.is_versioned, o.metadata, o.user_metadata, o.updated_at, o.owner_id, o.size_bytes, o.etag,
    o.backend, o.blob_id, o.content, o.part_sizes, o.part_blobs, o.part_checksums,
    o.checksum_algorithm, o.checksum_type, o.checksum_value,
    o.tags, o.acl, o.lock_mode, o.lock_until, o.legal_hold, o.encryption, o.is_annotated,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0))
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.name = %(key)s::text COLLATE "C"
    AND o.archived_at IS NULL AND NOT o.is_delete_marker;

-- name: describe_object
-- lane: quick
-- The same without inline bytes, for HEAD.
SELECT o.id, o.version, o.is_versioned, o.metadata, o.user_metadata, o.updated_at, o.owner_id, o.size_bytes, o.etag,
    o.backend, o.blob_id, NULL::bytea, o.part_sizes, o.part_blobs, o.part_checksums,
    o.checksum_algorithm, o.checksum_type, o.checksum_value,
    o.tags, o.acl, o.lock_mode, o.lock_until, o.legal_hold, o.encryption, o.is_annotated,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0))
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.name = %(key)s::text COLLATE "C"
    AND o.archived_at IS NULL AND NOT o.is_delete_marker;

-- name: find_version
-- lane: quick
-- One version by its id ('null' for the one without), as the caller sees it; it may be a delete marker.
SELECT o.id, o.version, o.is_versioned, o.metadata, o.user_metadata, o.updated_at, o.owner_id, o.size_bytes, o.etag,
    o.backend, o.blob_id, CASE WHEN %(with_content)s::boolean THEN o.content END, o.part_sizes, o.part_blobs, o.part_checksums,
    o.checksum_algorithm, o.checksum_type, o.checksum_value,
    o.tags, o.acl, o.lock_mode, o.lock_until, o.legal_hold, o.encryption, o.is_annotated,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0)),
    o.is_delete_marker
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.name = %(key)s::text COLLATE "C" AND o.archived_at IS NULL
    AND CASE WHEN o.is_versioned THEN o.version ELSE 'null' END = %(version_id)s::text
UNION ALL
SELECT o.id, o.version, o.is_versioned, o.metadata, o.user_metadata, o.updated_at, o.owner_id, o.size_bytes, o.etag,
    o.backend, o.blob_id, CASE WHEN %(with_content)s::boolean THEN o.content END, o.part_sizes, o.part_blobs, o.part_checksums,
    o.checksum_algorithm, o.checksum_type, o.checksum_value,
    o.tags, o.acl, o.lock_mode, o.lock_until, o.legal_hold, o.encryption, o.is_annotated, NULL::bigint, o.is_delete_marker
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.name = %(key)s::text COLLATE "C" AND o.archived_at IS NOT NULL
    AND o.archived_version = %(version_id)s::text COLLATE "C";

-- name: explain_missing
-- lane: quick
-- Why a read found no current object: what to say of the bucket, and the delete marker that is there instead.
SELECT rowlock.bucket_visibility(%(bucket)s::text), o.version, o.is_versioned, o.updated_at
FROM (SELECT) AS once
LEFT JOIN storage.objects AS o
    ON o.bucket_id = %(bucket)s::text AND o.name = %(key)s::text COLLATE "C" AND o.archived_at IS NULL
    AND o.is_delete_marker;

-- name: put_object
SELECT put.last_modified, put.version_id,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0))
FROM rowlock.put_object(
    %(bucket)s::text, %(key)s::text, %(version)s::text, %(owner_id)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    %(epoch)s::integer, %(backend)s::text, %(blob_id)s::text, %(content)s::bytea, %(size_bytes)s::bigint, %(etag)s::text,
    %(part_sizes)s::bigint[], %(part_blobs)s::text[], %(part_checksums)s::text[],
    %(checksum_algorithm)s::text, %(checksum_type)s::text, %(checksum_value)s::text, %(attributes)s::jsonb,
    %(if_match)s::text, %(if_none_match)s::text) AS put;

-- name: probe_put_object
SELECT probed.default_encryption, probed.file_size_limit, rowlock.bucket_backend(%(bucket)s::text)
FROM rowlock.probe_put_object(
    %(bucket)s::text, %(key)s::text, %(owner_id)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    %(size_bytes)s::bigint, %(if_match)s::text, %(if_none_match)s::text) AS probed;

-- name: replace_metadata
SELECT replaced.last_modified,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0))
FROM rowlock.replace_metadata(
    %(bucket)s::text, %(key)s::text, %(source_version)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    %(tags)s::jsonb, %(keep_tags)s::boolean, %(if_match)s::text, %(if_none_match)s::text) AS replaced;

-- name: replace_tags
SELECT rowlock.replace_tags(%(id)s::uuid, %(version)s::text, %(tags)s::jsonb);

-- name: find_written_version
SELECT written.last_modified, written.version_id
FROM rowlock.find_written_version(%(bucket)s::text, %(key)s::text, %(version)s::text) AS written;

-- name: delete_object
SELECT deleted.outcome, deleted.version_id, deleted.is_marker
FROM rowlock.delete_object(
    %(bucket)s::text, %(key)s::text, %(version_id)s::text, %(owner_id)s::text, %(if_match)s::text,
    %(if_size)s::bigint, %(if_modified)s::timestamptz, %(bypass)s::boolean) AS deleted;

-- name: delete_objects
SELECT deleted.outcome, deleted.version_id, deleted.is_marker
FROM rowlock.delete_objects(
    %(bucket)s::text, %(keys)s::text[], %(version_ids)s::text[], %(owner_id)s::text, %(etags)s::text[],
    %(sizes)s::bigint[], %(modified)s::timestamptz[], %(bypass)s::boolean) AS deleted
ORDER BY deleted.ordinal;

-- name: list_objects
SELECT listed.*
FROM rowlock.list_objects(
    %(bucket)s::text, %(lower)s::text, %(upper)s::text, %(prefix_length)s::integer,
    %(delimiter)s::text, %(seek)s::text, %(page_size)s::integer) AS listed;

-- name: list_objects_flat
SELECT listed.*
FROM rowlock.list_objects_flat(
    %(bucket)s::text, %(lower)s::text, %(upper)s::text, %(page_size)s::integer) AS listed;

-- name: version_position
-- lane: quick
-- As text: it may be infinity, which is no instant to Python.
SELECT rowlock.version_position(%(bucket)s::text, %(key)s::text, %(version_id)s::text)::text;

-- name: list_versions
SELECT listed.*
FROM rowlock.list_versions(
    %(bucket)s::text, %(lower)s::text, %(upper)s::text, %(inside)s::text, %(inside_at)s::timestamptz,
    %(prefix_length)s::integer, %(delimiter)s::text, %(seek)s::text, %(page_size)s::integer) AS listed;

-- name: put_lock
SELECT rowlock.put_lock(
    %(bucket)s::text, %(key)s::text, %(version_id)s::text, %(sets_retention)s::boolean, %(mode)s::text,
    %(until)s::timestamptz, %(legal_hold)s::boolean, %(bypass)s::boolean);

-- name: has_object_lock
-- lane: quick
SELECT rowlock.lock_configuration(%(bucket)s::text) IS NOT NULL;
