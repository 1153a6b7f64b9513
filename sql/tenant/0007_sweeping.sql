-- What the background worker and fsck ask. They run as rowlock_engine in an ordinary scoped session.

-- Which of these blobs does somebody own? A row, a part of an open upload, an upload that waits to be confirmed, or the
-- garbage (which will be emptied).
CREATE FUNCTION rowlock.owned_blobs(p_blob_ids text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS
$$
    SELECT wanted FROM unnest(p_blob_ids) AS wanted
    WHERE EXISTS (SELECT FROM storage.objects AS o WHERE o.blob_id = wanted)
        OR EXISTS (SELECT FROM storage.objects AS o WHERE o.part_blobs @> ARRAY[wanted] AND o.part_blobs IS NOT NULL)
        OR EXISTS (SELECT FROM storage.s3_multipart_uploads_parts AS part WHERE part.blob_id = wanted)
        OR EXISTS (SELECT FROM storage.pending_uploads AS p WHERE p.blob_id = wanted)
        OR EXISTS (SELECT FROM rowlock.garbage AS g WHERE g.blob_id = wanted AND g.destroyed_at IS NULL)
$$;
GRANT EXECUTE ON FUNCTION rowlock.owned_blobs(text[]) TO rowlock_engine;

-- Claims garbage whose grace is over. The claim ends by itself, so a worker that dies holds nothing up. A blob some
-- row owns again (a restored backup, a hand-made row) is not garbage.
CREATE FUNCTION rowlock.claim_garbage(p_grace interval, p_claim interval, p_limit integer)
RETURNS TABLE (id bigint, backend text, blob_id text)
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
    WITH due AS (
        SELECT g.id FROM rowlock.garbage AS g
        WHERE g.destroyed_at IS NULL AND g.released_at <= clock_timestamp() - p_grace
            AND (g.claimed_until IS NULL OR g.claimed_until < clock_timestamp())
            AND NOT EXISTS (SELECT FROM storage.objects AS o WHERE o.blob_id = g.blob_id)
            AND NOT EXISTS (SELECT FROM storage.objects AS o
                            WHERE o.part_blobs @> ARRAY[g.blob_id] AND o.part_blobs IS NOT NULL)
            AND NOT EXISTS (SELECT FROM storage.s3_multipart_uploads_parts AS part WHERE part.blob_id = g.blob_id)
            AND NOT EXISTS (SELECT FROM storage.pending_uploads AS p WHERE p.blob_id = g.blob_id)
        ORDER BY g.released_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE rowlock.garbage AS g SET claimed_until = clock_timestamp() + p_claim
    FROM due WHERE g.id = due.id
    RETURNING g.id, g.backend, g.blob_id
$$;

-- Declares epochs dead whose process has been silent, and returns every dead epoch that was not swept yet.
CREATE FUNCTION rowlock.declare_dead_epochs(p_silence interval) RETURNS SETOF integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    UPDATE rowlock.epochs AS e SET dead_at = clock_timestamp()
    WHERE e.dead_at IS NULL AND e.heartbeat_at < clock_timestamp() - p_silence;
    RETURN QUERY SELECT e.id FROM rowlock.epochs AS e WHERE e.dead_at IS NOT NULL AND e.swept_at IS NULL ORDER BY e.id;
END
$$;

-- Waits until no transaction of this (dead) epoch is in flight any more: each holds the shared lock (require_epoch).
CREATE FUNCTION rowlock.await_epoch(p_epoch integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$ SELECT pg_catalog.pg_advisory_xact_lock(1919907700, p_epoch) $$;

-- Gives up blobs of which their writer does not know whether a row names them, because it lost the connection in COMMIT.
-- No transaction of the epoch is in flight while this decides, and one that comes later finds its blob abandoned
-- (rowlock.blob_owned_since): what has no owner now never gets one.
CREATE FUNCTION rowlock.abandon_blobs(p_epoch integer, p_backend text, p_blob_ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(1919907700, p_epoch);
    INSERT INTO rowlock.garbage (backend, blob_id, abandoned)
    SELECT p_backend, doubtful, true FROM unnest(p_blob_ids) AS doubtful
    WHERE doubtful NOT IN (SELECT rowlock.owned_blobs(p_blob_ids))
    ON CONFLICT (blob_id) DO NOTHING;
END
$$;
