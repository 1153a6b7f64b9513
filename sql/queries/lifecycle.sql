-- name: rules_of_bucket
-- lane: quick
-- The document of a bucket's rules and its revision, for the headers that tell of them.
SELECT l.revision, c.document
FROM rowlock.lifecycles AS l
JOIN storage.bucket_configurations AS c ON c.bucket_id = l.bucket_id AND c.kind = 'lifecycle'
WHERE l.bucket_id = %(bucket)s::text;

-- name: now
-- lane: quick
-- The database's clock is the one that dated the objects.
SELECT clock_timestamp();

-- name: claim_run
-- Takes one bucket whose run is due or was left unfinished. The claim lapses by itself.
WITH due AS (
    SELECT l.bucket_id, l.run_finished OR l.run_revision IS DISTINCT FROM l.revision AS anew
    FROM rowlock.lifecycles AS l
    WHERE (l.claimed_until IS NULL OR l.claimed_until < clock_timestamp() OR l.claimed_by = %(worker)s::uuid)
        AND (NOT l.run_finished OR l.run_revision IS DISTINCT FROM l.revision
            OR l.run_midnight < %(midnight)s::timestamptz)
    ORDER BY l.bucket_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE rowlock.lifecycles AS l SET
    claimed_by = %(worker)s::uuid,
    claimed_until = clock_timestamp() + make_interval(secs => %(claim_seconds)s::float8),
    run_finished = false,
    run_revision = l.revision,
    run_midnight = CASE WHEN due.anew THEN %(midnight)s::timestamptz ELSE l.run_midnight END,
    step = CASE WHEN due.anew THEN 'noncurrent' ELSE l.step END,
    after_key = CASE WHEN due.anew THEN '' ELSE l.after_key END,
    after_time = CASE WHEN due.anew THEN 'epoch' ELSE l.after_time END,
    after_id = CASE WHEN due.anew THEN '' ELSE l.after_id END
FROM due
WHERE l.bucket_id = due.bucket_id
RETURNING l.bucket_id, l.revision, l.step, l.after_key,
    l.after_time, l.after_id,
    (SELECT c.document FROM storage.bucket_configurations AS c
     WHERE c.bucket_id = l.bucket_id AND c.kind = 'lifecycle');

-- name: page_of_current
-- A page of keys in byte order: those old enough, the delete markers, and the last one, which says how far it went.
WITH page AS (
    SELECT o.id, o.name, o.version, o.updated_at, o.size_bytes, o.tags, o.is_delete_marker
    FROM storage.objects AS o
    WHERE o.bucket_id = %(bucket)s::text AND o.archived_at IS NULL
        AND o.name > %(after_key)s::text COLLATE "C"
        AND o.name >= %(lower)s::text COLLATE "C" AND o.name < %(upper)s::text COLLATE "C"
    ORDER BY o.name COLLATE "C"
    LIMIT %(page_size)s::integer
)
SELECT p.id, p.name, p.version, p.updated_at, p.size_bytes, p.tags, p.is_delete_marker,
    p.is_delete_marker AND NOT EXISTS (
        SELECT FROM storage.objects AS o
        WHERE o.bucket_id = %(bucket)s::text AND o.name = p.name AND o.archived_at IS NOT NULL),
    (SELECT count(*) FROM page)
FROM page AS p
WHERE p.is_delete_marker OR p.updated_at < %(before)s::timestamptz OR p.name = (SELECT max(last.name) FROM page AS last)
ORDER BY p.name COLLATE "C";

-- name: page_of_noncurrent
-- By key, newest first: first the rest of the key where the page before ended, then the keys after it.
WITH page AS (
    (SELECT o.id, o.name, o.archived_at, o.size_bytes, o.tags
     FROM storage.objects AS o
     WHERE o.bucket_id = %(bucket)s::text AND o.name = %(after_key)s::text COLLATE "C"
        AND o.archived_at < %(after_time)s::timestamptz
     ORDER BY o.archived_at DESC
     LIMIT %(page_size)s::integer)
    UNION ALL
    (SELECT o.id, o.name, o.archived_at, o.size_bytes, o.tags
     FROM storage.objects AS o
     WHERE o.bucket_id = %(bucket)s::text AND o.archived_at IS NOT NULL
        AND o.name > %(after_key)s::text COLLATE "C"
        AND o.name >= %(lower)s::text COLLATE "C" AND o.name < %(upper)s::text COLLATE "C"
     ORDER BY o.name COLLATE "C", o.archived_at DESC
     LIMIT %(page_size)s::integer)
    LIMIT %(page_size)s::integer
)
SELECT p.id, p.name, p.archived_at, p.size_bytes, p.tags,
    (SELECT count(*) FROM (
        SELECT FROM storage.objects AS newer
        WHERE newer.bucket_id = %(bucket)s::text AND newer.name = p.name AND newer.archived_at > p.archived_at
        LIMIT %(most_kept)s::integer) AS kept)
FROM page AS p
ORDER BY p.name COLLATE "C", p.archived_at DESC;

-- name: page_of_uploads
SELECT u.id, u.key, u.created_at
FROM storage.s3_multipart_uploads AS u
WHERE u.bucket_id = %(bucket)s::text AND u.completed_at IS NULL
    AND u.key >= %(lower)s::text COLLATE "C" AND u.key < %(upper)s::text COLLATE "C"
    AND (u.key, u.created_at, u.id COLLATE "C")
        > (%(after_key)s::text COLLATE "C", %(after_time)s::timestamptz, %(after_id)s::text)
ORDER BY u.key COLLATE "C", u.created_at, u.id COLLATE "C"
LIMIT %(page_size)s::integer;

-- name: act
-- One batch: the position of the run and what it did, in one transaction. No row: the run is no longer ours.
SELECT
    rowlock.expire_noncurrent(%(bucket)s::text, %(noncurrent)s::jsonb),
    rowlock.expire_current(%(bucket)s::text, %(current)s::jsonb),
    rowlock.remove_expired_markers(%(bucket)s::text, %(markers)s::uuid[]),
    rowlock.abort_stale_uploads(%(bucket)s::text, %(uploads)s::text[])
FROM (
    SELECT rowlock.advance_lifecycle(
        %(bucket)s::text, %(worker)s::uuid, %(revision)s::bigint,
        make_interval(secs => %(claim_seconds)s::float8),
        %(step)s::text, %(after_key)s::text, %(after_time)s::timestamptz, %(after_id)s::text,
        %(finished)s::boolean) AS ours
    OFFSET 0) AS run
WHERE run.ours;
