-- name: ping
-- lane: quick
SELECT 1;

-- name: begin_epoch
INSERT INTO rowlock.epochs (host, process_id) VALUES (%(host)s::text, %(process_id)s::integer) RETURNING id;

-- name: beat
-- lane: quick
-- Not behind writers that wait for a lock, or a worker would be declared dead while it lives.
-- False: somebody declared this epoch dead, and its process must stop writing.
UPDATE rowlock.epochs AS e SET heartbeat_at = clock_timestamp()
WHERE e.id = %(epoch)s::integer AND e.dead_at IS NULL
RETURNING true;

-- name: end_epoch
UPDATE rowlock.epochs AS e SET dead_at = clock_timestamp() WHERE e.id = %(epoch)s::integer AND e.dead_at IS NULL;

-- name: end_epochs_of_host
-- Only where one gateway owns the data directory alone: whoever wrote there before is gone.
UPDATE rowlock.epochs AS e SET dead_at = clock_timestamp() WHERE e.host = %(host)s::text AND e.dead_at IS NULL;

-- name: declare_dead_epochs
SELECT rowlock.declare_dead_epochs(make_interval(secs => %(silence_seconds)s::float8));

-- name: await_epoch
SELECT rowlock.await_epoch(%(epoch)s::integer);

-- name: mark_epoch_swept
UPDATE rowlock.epochs AS e SET swept_at = clock_timestamp() WHERE e.id = %(epoch)s::integer;

-- name: known_epochs
SELECT e.id, e.dead_at IS NOT NULL, e.swept_at IS NOT NULL FROM rowlock.epochs AS e;

-- name: owned_blobs
SELECT owned FROM rowlock.owned_blobs(%(blob_ids)s::text[]) AS owned;

-- name: claim_garbage
SELECT claimed.id, claimed.backend, claimed.blob_id
FROM rowlock.claim_garbage(
    make_interval(secs => %(grace_seconds)s::float8), make_interval(secs => %(claim_seconds)s::float8),
    %(page_size)s::integer) AS claimed;

-- name: count_garbage
-- For the metrics; bounded, since a bucket of millions may have been emptied.
SELECT count(*) FROM (SELECT FROM rowlock.garbage AS g WHERE g.destroyed_at IS NULL LIMIT 100001) AS waiting;

-- name: note_destroyed
UPDATE rowlock.garbage AS g SET destroyed_at = clock_timestamp() WHERE g.id = ANY (%(ids)s::bigint[]);

-- name: forget_destroyed
DELETE FROM rowlock.garbage AS g
WHERE g.destroyed_at < clock_timestamp() - make_interval(secs => %(older_than_seconds)s::float8);

-- name: abandon_blobs
SELECT rowlock.abandon_blobs(%(epoch)s::integer, %(backend)s::text, %(blob_ids)s::text[]);

-- name: forget_completed_uploads
-- A completion's answer is kept for a day, so that a client that lost it may ask again.
DELETE FROM storage.s3_multipart_uploads AS u
WHERE u.completed_at < clock_timestamp() - make_interval(secs => %(older_than_seconds)s::float8);

-- name: expire_pending_uploads
-- Those that are being confirmed or cancelled at this moment are left for the next round. The trigger of every deletion
-- leaves the blobs to the garbage.
WITH due AS (
    SELECT p.id FROM storage.pending_uploads AS p
    WHERE p.expires_at <= clock_timestamp()
    ORDER BY p.expires_at
    LIMIT %(page_size)s::integer
    FOR UPDATE SKIP LOCKED
)
DELETE FROM storage.pending_uploads AS p USING due WHERE p.id = due.id
RETURNING p.state;

-- name: page_of_blobs
-- For fsck: every row that owns bytes outside the database, in the order of the row's id.
SELECT o.id, o.bucket_id, o.name, o.backend, o.blob_id, o.size_bytes, o.etag, o.part_sizes, o.part_blobs, o.encryption
FROM storage.objects AS o
WHERE o.id > %(after)s::uuid AND (o.blob_id IS NOT NULL OR o.part_blobs IS NOT NULL)
ORDER BY o.id
LIMIT %(page_size)s::integer;

-- name: page_of_inline
SELECT o.id, o.bucket_id, o.name, o.content, o.size_bytes, o.etag, o.encryption
FROM storage.objects AS o
WHERE o.id > %(after)s::uuid AND o.content IS NOT NULL
ORDER BY o.id
LIMIT %(page_size)s::integer;

-- name: page_of_parts
SELECT part.id, part.bucket_id, part.key, part.backend, part.blob_id, part.size, part.etag,
    u.attributes -> 'encryption'
FROM storage.s3_multipart_uploads_parts AS part
JOIN storage.s3_multipart_uploads AS u ON u.id = part.upload_id
WHERE part.id > %(after)s::uuid AND part.blob_id IS NOT NULL
ORDER BY part.id
LIMIT %(page_size)s::integer;

-- name: page_of_pending
SELECT p.id, p.bucket_id, p.name, p.backend, p.blob_id, p.size_bytes, p.etag, p.attributes -> 'encryption'
FROM storage.pending_uploads AS p
WHERE p.id > %(after)s::uuid AND p.blob_id IS NOT NULL
ORDER BY p.id
LIMIT %(page_size)s::integer;

-- name: page_of_pending_inline
SELECT p.id, p.bucket_id, p.name, p.content, p.size_bytes, p.etag, p.attributes -> 'encryption'
FROM storage.pending_uploads AS p
WHERE p.id > %(after)s::uuid AND p.content IS NOT NULL
ORDER BY p.id
LIMIT %(page_size)s::integer;

-- name: state_of_blob
-- For fsck: is there still a row that says so? (a row may have gone while the store was read)
SELECT EXISTS (SELECT FROM rowlock.owned_blobs(ARRAY[%(blob_id)s::text]) AS owned)
    AND NOT EXISTS (SELECT FROM rowlock.garbage AS g WHERE g.blob_id = %(blob_id)s::text);
