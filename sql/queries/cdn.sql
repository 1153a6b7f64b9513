-- name: bucket_redirect
-- lane: quick
SELECT found.redirect, found.is_public FROM rowlock.bucket_redirect(%(bucket)s::text) AS found;

-- name: set_bucket_redirect
UPDATE storage.buckets AS b SET redirect = %(redirect)s::text WHERE b.id = %(bucket)s::text RETURNING b.id;

-- name: list_bucket_redirects
SELECT b.id, b.redirect FROM storage.buckets AS b WHERE b.redirect IS NOT NULL;

-- name: follow_cdn
SELECT rowlock.follow_cdn(%(follow)s::boolean);

-- name: request_purge
INSERT INTO rowlock.cdn_purges (bucket_id, name) VALUES (%(bucket)s::text, %(key)s::text);

-- name: forget_purges
DELETE FROM rowlock.cdn_purges AS p RETURNING p.id;

-- name: claim_purges
-- A page of what is due, to others due again when the lease is over.
UPDATE rowlock.cdn_purges AS p
SET due_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8), attempts = p.attempts + 1
WHERE p.id IN (
    SELECT d.id FROM rowlock.cdn_purges AS d WHERE d.due_at <= clock_timestamp()
    ORDER BY d.due_at LIMIT %(page_size)s::integer FOR UPDATE SKIP LOCKED)
RETURNING p.id, p.bucket_id, p.name, p.attempts;

-- name: finish_purges
DELETE FROM rowlock.cdn_purges AS p WHERE p.id = ANY (%(ids)s::bigint[]);

-- name: postpone_purges
UPDATE rowlock.cdn_purges AS p SET due_at = clock_timestamp() + make_interval(secs => %(seconds)s::float8)
WHERE p.id = ANY (%(ids)s::bigint[]);
