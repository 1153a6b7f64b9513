-- name: find_object
-- lane: quick
-- One object with all it takes to answer GET: facts, headers, and where its bytes are (or the bytes themselves).
SELECT o.id, o.version, o.is_versioned, o.metadata, o.user_metadata, o.updated_at, o.owner_id, o.size_bytes, o.etag,
    o.backend, o.blob_id, o.content, o.part_sizes, o.part_blobs, o.part_checksums,
    o.checksum_algorithm, o.checksum_type, o.checksum_value,
    o.tags, o.acl, o.lock_mode, o.lock_until, o.legal_hold, o.encryption,
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
    o.tags, o.acl, o.lock_mode, o.lock_until, o.legal_hold, o.encryption,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0))
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.name = %(key)s::text COLLATE "C"
    AND o.archived_at IS NULL AND NOT o.is_delete_marker;

-- name: put_object
SELECT put.last_modified,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0))
FROM rowlock.put_object(
    %(bucket)s::text, %(key)s::text, %(version)s::text, %(owner_id)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    %(epoch)s::integer, %(backend)s::text, %(blob_id)s::text, %(content)s::bytea, %(size_bytes)s::bigint, %(etag)s::text,
    %(part_sizes)s::bigint[], %(part_blobs)s::text[], %(part_checksums)s::text[],
    %(checksum_algorithm)s::text, %(checksum_type)s::text, %(checksum_value)s::text, %(attributes)s::jsonb,
    %(if_match)s::text, %(if_none_match)s::text) AS put;

-- name: probe_put_object
SELECT rowlock.probe_put_object(
    %(bucket)s::text, %(key)s::text, %(owner_id)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    %(size_bytes)s::bigint, %(if_match)s::text, %(if_none_match)s::text);

-- name: replace_metadata
SELECT replaced.last_modified,
    (SELECT r.revision FROM rowlock.lifecycle_revisions AS r
     WHERE r.bucket_hash = pg_catalog.hashtextextended(%(bucket)s::text, 0))
FROM rowlock.replace_metadata(
    %(bucket)s::text, %(key)s::text, %(source_version)s::text, %(metadata)s::jsonb, %(user_metadata)s::jsonb,
    %(tags)s::jsonb, %(keep_tags)s::boolean, %(if_match)s::text, %(if_none_match)s::text) AS replaced;

-- name: replace_tags
SELECT rowlock.replace_tags(%(id)s::uuid, %(version)s::text, %(tags)s::jsonb);

-- name: is_current_version
SELECT rowlock.is_current_version(%(bucket)s::text, %(key)s::text, %(version)s::text);

-- name: delete_object
SELECT rowlock.delete_object(%(bucket)s::text, %(key)s::text, %(if_match)s::text);

-- name: delete_objects
SELECT outcome.name, outcome.outcome
FROM rowlock.delete_objects(%(bucket)s::text, %(keys)s::text[], %(etags)s::text[]) AS outcome;

-- name: list_objects
SELECT listed.*
FROM rowlock.list_objects(
    %(bucket)s::text, %(lower)s::text, %(upper)s::text, %(prefix_length)s::integer,
    %(delimiter)s::text, %(seek)s::text, %(page_size)s::integer) AS listed;

-- name: list_objects_flat
SELECT listed.*
FROM rowlock.list_objects_flat(
    %(bucket)s::text, %(lower)s::text, %(upper)s::text, %(page_size)s::integer) AS listed;
