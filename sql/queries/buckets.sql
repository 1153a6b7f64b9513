-- name: list_buckets
SELECT b.id, b.created_at, b.owner_id
FROM storage.buckets AS b
WHERE b.id >= %(lower)s::text COLLATE "C" AND b.id < %(upper)s::text COLLATE "C" AND b.type = 'STANDARD'
ORDER BY b.id COLLATE "C"
LIMIT %(page_size)s::integer;

-- name: create_bucket
INSERT INTO storage.buckets (id, name, owner, owner_id, public)
VALUES (%(bucket)s::text, %(bucket)s::text, rowlock.subject_uuid(%(owner_id)s::text), %(owner_id)s::text, %(public)s::boolean);

-- name: create_locked_bucket
SELECT rowlock.create_locked_bucket(%(bucket)s::text, %(owner_id)s::text, %(public)s::boolean);

-- name: set_versioning
SELECT rowlock.set_versioning(%(bucket)s::text, %(status)s::text);

-- name: put_lock_configuration
SELECT rowlock.put_lock_configuration(%(bucket)s::text, %(document)s::jsonb);

-- name: find_bucket
-- lane: quick
-- As the caller; with what to say when it sees nothing.
SELECT b.id, b.created_at, b.owner_id, b.public, rowlock.bucket_visibility(%(bucket)s::text), b.versioning_status
FROM (SELECT) AS once
LEFT JOIN storage.buckets AS b ON b.id = %(bucket)s::text;

-- name: delete_bucket
SELECT rowlock.delete_bucket(%(bucket)s::text);

-- name: bucket_visibility
-- lane: quick
SELECT rowlock.bucket_visibility(%(bucket)s::text);

-- name: create_bucket_with
SELECT rowlock.create_bucket(
    %(bucket)s::text, %(owner_id)s::text, %(public)s::boolean, %(acl)s::jsonb, %(ownership)s::text,
    %(object_lock)s::boolean);
