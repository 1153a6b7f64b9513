-- name: list_buckets
SELECT b.id, b.name, b.owner, b.owner_id, b.public, b.file_size_limit, b.allowed_mime_types, b.created_at, b.updated_at, b.type::text,
    b.versioning_status
FROM storage.buckets AS b
WHERE b.type = 'STANDARD' AND (%(search)s::text IS NULL OR strpos(lower(b.name), lower(%(search)s::text)) > 0)
ORDER BY
    CASE WHEN NOT %(descending)s::boolean THEN
        CASE %(sort_column)s::text WHEN 'created_at' THEN b.created_at WHEN 'updated_at' THEN b.updated_at END END,
    CASE WHEN %(descending)s::boolean THEN
        CASE %(sort_column)s::text WHEN 'created_at' THEN b.created_at WHEN 'updated_at' THEN b.updated_at END END DESC,
    CASE WHEN NOT %(descending)s::boolean THEN CASE %(sort_column)s::text WHEN 'id' THEN b.id ELSE b.name END END COLLATE "C",
    CASE WHEN %(descending)s::boolean THEN CASE %(sort_column)s::text WHEN 'id' THEN b.id ELSE b.name END END COLLATE "C" DESC
LIMIT %(page_size)s::integer OFFSET %(skip)s::integer;

-- name: find_bucket
-- lane: quick
SELECT b.id, b.name, b.owner, b.owner_id, b.public, b.file_size_limit, b.allowed_mime_types, b.created_at, b.updated_at, b.type::text,
    b.versioning_status
FROM storage.buckets AS b
WHERE b.id = %(bucket)s::text;

-- name: create_bucket
INSERT INTO storage.buckets (
    id, name, owner, owner_id, public, file_size_limit, allowed_mime_types, versioning_status)
VALUES (
    %(id)s::text, %(name)s::text, rowlock.subject_uuid(%(owner_id)s::text), %(owner_id)s::text, %(public)s::boolean,
    %(file_size_limit)s::bigint, %(allowed_mime_types)s::text[], %(versioning_status)s::text);

-- name: update_bucket
SELECT rowlock.update_bucket(
    %(bucket)s::text, %(public)s::boolean, %(sets_size_limit)s::boolean, %(file_size_limit)s::bigint,
    %(sets_mime_types)s::boolean, %(allowed_mime_types)s::text[], %(versioning_status)s::text);

-- name: is_public_bucket
-- lane: quick
SELECT rowlock.is_public_bucket(%(bucket)s::text);

-- name: object_id
-- lane: quick
SELECT rowlock.object_id(%(bucket)s::text, %(key)s::text);

-- name: find_rows
-- The current objects of these names that the caller sees, as Supabase shows a row.
SELECT o.id, o.bucket_id, o.name, o.owner, o.owner_id, o.version, o.created_at, o.updated_at, o.last_accessed_at,
    o.metadata, o.user_metadata, o.size_bytes, o.etag
FROM storage.objects AS o
WHERE o.bucket_id = %(bucket)s::text AND o.name = ANY (%(keys)s::text[]) AND o.archived_at IS NULL
    AND NOT o.is_delete_marker;

-- name: find_version_rows
-- Versions by their keys and ids ('null' for the one without), which are no delete markers, as find_rows shows a row.
SELECT o.id, o.bucket_id, o.name, o.owner, o.owner_id, o.version, o.created_at, o.updated_at, o.last_accessed_at,
    o.metadata, o.user_metadata, o.size_bytes, o.etag, asked.version_id
FROM unnest(%(keys)s::text[], %(version_ids)s::text[]) AS asked (name, version_id)
JOIN storage.objects AS o ON o.bucket_id = %(bucket)s::text AND o.name = asked.name COLLATE "C"
WHERE o.archived_at IS NULL AND NOT o.is_delete_marker
    AND CASE WHEN o.is_versioned THEN o.version ELSE 'null' END = asked.version_id
UNION ALL
SELECT o.id, o.bucket_id, o.name, o.owner, o.owner_id, o.version, o.created_at, o.updated_at, o.last_accessed_at,
    o.metadata, o.user_metadata, o.size_bytes, o.etag, asked.version_id
FROM unnest(%(keys)s::text[], %(version_ids)s::text[]) AS asked (name, version_id)
JOIN storage.objects AS o ON o.bucket_id = %(bucket)s::text AND o.name = asked.name COLLATE "C"
WHERE o.archived_at IS NOT NULL AND NOT o.is_delete_marker
    AND o.archived_version = asked.version_id COLLATE "C";

-- name: search
SELECT found.name, found.id, found.updated_at, found.created_at, found.last_accessed_at, found.metadata
FROM storage.search(
    %(prefix)s::text, %(bucket)s::text, %(page_size)s::integer, 1, %(skip)s::integer, %(search)s::text,
    %(sort_column)s::text, %(sort_order)s::text) AS found;

-- name: list_entries
SELECT listed.name, listed.is_folder, listed.id, listed.updated_at, listed.created_at, listed.last_accessed_at,
    listed.metadata
FROM rowlock.list_entries(
    %(bucket)s::text, %(prefix)s::text, %(lower)s::text, %(upper)s::text, %(delimiter)s::text, %(descending)s::boolean,
    '', 0, %(page_size)s::integer) AS listed;

-- name: list_entries_by_time
SELECT listed.name, listed.is_folder, listed.id, listed.updated_at, listed.created_at, listed.last_accessed_at,
    listed.metadata
FROM rowlock.list_entries_by_time(
    %(bucket)s::text, %(prefix)s::text, %(lower)s::text, %(upper)s::text, %(delimiter)s::text, %(sort_column)s::text,
    %(descending)s::boolean, %(after_time)s::timestamptz, %(after_name)s::text, %(page_size)s::integer) AS listed;

-- name: move_object
SELECT moved.outcome, moved.object_id
FROM rowlock.move_object(%(bucket)s::text, %(key)s::text, %(to_bucket)s::text, %(to_key)s::text) AS moved;

-- name: count_objects
SELECT count(*)
FROM (
    SELECT FROM storage.objects AS o WHERE o.bucket_id = %(bucket)s::text LIMIT %(at_most)s::integer
) AS found;

-- name: empty_bucket
SELECT rowlock.empty_bucket(%(bucket)s::text, %(until)s::timestamptz, %(page_size)s::integer);

-- name: now
-- lane: quick
SELECT clock_timestamp();
