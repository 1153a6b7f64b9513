-- Lifecycle: which buckets have rules, how far the engine has come with them, and the statements that act on rows.
-- The rules themselves are a document of storage.bucket_configurations; gateway/metadata/lifecycle_rules.py reads it.

CREATE SEQUENCE rowlock.lifecycle_revision;

-- One row for each bucket that has rules, kept by a trigger, and the state of the run that is under way. A run goes
-- through the steps noncurrent, current, uploads, each in the order of the keys; it is due after every midnight, and
-- when the rules have changed.
CREATE TABLE rowlock.lifecycles (
    bucket_id text PRIMARY KEY,
    revision bigint NOT NULL,
    run_revision bigint,
    run_midnight timestamptz,
    run_finished boolean NOT NULL DEFAULT true,
    step text NOT NULL DEFAULT 'noncurrent',
    after_key text NOT NULL DEFAULT '',
    after_time timestamptz NOT NULL DEFAULT 'epoch',
    after_id text NOT NULL DEFAULT '',
    claimed_by uuid,
    claimed_until timestamptz
);

-- What every role is told when it reads or writes an object: NULL, or the revision of the bucket's rules, by which a
-- gateway process knows whether the rules it remembers are still the rules. Names of buckets stay hidden.
CREATE TABLE rowlock.lifecycle_revisions (
    bucket_hash bigint PRIMARY KEY,
    revision bigint NOT NULL
);

ALTER TABLE rowlock.lifecycles ENABLE ROW LEVEL SECURITY;
ALTER TABLE rowlock.lifecycles FORCE ROW LEVEL SECURITY;
GRANT ALL ON rowlock.lifecycles, rowlock.lifecycle_revisions, rowlock.lifecycle_revision TO rowlock_engine;
GRANT SELECT ON rowlock.lifecycle_revisions TO anon, authenticated, s3_account, service_role;
CREATE POLICY engine ON rowlock.lifecycles TO rowlock_engine USING (true) WITH CHECK (true);

CREATE FUNCTION rowlock.note_lifecycle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.kind = 'lifecycle' AND (TG_OP = 'DELETE' OR
        (OLD.kind, OLD.bucket_id) IS DISTINCT FROM (NEW.kind, NEW.bucket_id))
    THEN
        DELETE FROM rowlock.lifecycles AS l WHERE l.bucket_id = OLD.bucket_id;
        DELETE FROM rowlock.lifecycle_revisions AS r
        WHERE r.bucket_hash = pg_catalog.hashtextextended(OLD.bucket_id, 0);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.kind = 'lifecycle' THEN
        -- Waits for a batch of the engine that is under way under the old rules.
        INSERT INTO rowlock.lifecycles AS l (bucket_id, revision)
        VALUES (NEW.bucket_id, pg_catalog.nextval('rowlock.lifecycle_revision'))
        ON CONFLICT (bucket_id) DO UPDATE SET revision = excluded.revision;
        INSERT INTO rowlock.lifecycle_revisions (bucket_hash, revision)
        SELECT pg_catalog.hashtextextended(l.bucket_id, 0), l.revision
        FROM rowlock.lifecycles AS l WHERE l.bucket_id = NEW.bucket_id
        ON CONFLICT (bucket_hash) DO UPDATE SET revision = excluded.revision;
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION rowlock.note_lifecycle() OWNER TO rowlock_engine;
CREATE TRIGGER note_lifecycle AFTER INSERT OR UPDATE OR DELETE ON storage.bucket_configurations FOR EACH ROW
    EXECUTE FUNCTION rowlock.note_lifecycle();

-- Object lock (API_ObjectLockRetention): a version under retention or legal hold is not removed, whatever a rule says.
CREATE FUNCTION rowlock.is_held(p_object storage.objects) RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS
$$ SELECT p_object.legal_hold IS TRUE OR coalesce(p_object.lock_until > pg_catalog.clock_timestamp(), false) $$;

-- Keeps the claim and the position of a run. False: the rules have changed, or another worker has the bucket; then
-- nothing may be done under the old rules. The row stays locked, so a change of the rules waits for the end of a batch.
CREATE FUNCTION rowlock.advance_lifecycle(
    p_bucket text, p_worker uuid, p_revision bigint, p_claim interval,
    p_step text, p_after_key text, p_after_time timestamptz, p_after_id text, p_finished boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    UPDATE rowlock.lifecycles AS l SET
        step = p_step, after_key = p_after_key, after_time = p_after_time, after_id = p_after_id,
        run_finished = p_finished,
        claimed_until = CASE WHEN p_finished THEN NULL ELSE pg_catalog.clock_timestamp() + p_claim END
    WHERE l.bucket_id = p_bucket AND l.claimed_by = p_worker AND l.revision = p_revision;
    RETURN FOUND;
END
$$;

-- Expires current versions that still are what the scan saw. Rows and keys somebody is writing are left for the next
-- run: this never waits. Without versioning the object is deleted; with it a delete marker takes its place
-- (https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html#intro-lifecycle-rules-actions).
CREATE FUNCTION rowlock.expire_current(p_bucket text, p_targets jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    status text;
    object storage.objects;
    expired integer := 0;
BEGIN
    SELECT b.versioning_status INTO status FROM storage.buckets AS b WHERE b.id = p_bucket FOR SHARE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    FOR object IN
        SELECT o.* FROM storage.objects AS o
        JOIN pg_catalog.jsonb_to_recordset(p_targets)
            AS seen (id uuid, version text, modified timestamptz, tags jsonb) ON o.id = seen.id
        WHERE o.bucket_id = p_bucket AND o.archived_at IS NULL AND NOT o.is_delete_marker
            AND o.updated_at = seen.modified AND o.version IS NOT DISTINCT FROM seen.version
            AND o.tags IS NOT DISTINCT FROM seen.tags
        ORDER BY o.name COLLATE "C"
        FOR UPDATE OF o SKIP LOCKED
    LOOP
        CONTINUE WHEN NOT pg_catalog.pg_try_advisory_xact_lock(
            pg_catalog.hashtextextended(p_bucket || '/' || object.name, 0));
        IF status = 'DISABLED' THEN
            CONTINUE WHEN rowlock.is_held(object);
            DELETE FROM storage.objects AS o WHERE o.id = object.id;
        ELSE
            IF status = 'SUSPENDED' THEN
                -- The marker will be the null version: the one there is, here or beneath, gives way to it.
                CONTINUE WHEN EXISTS (
                    SELECT FROM storage.objects AS o
                    WHERE o.bucket_id = p_bucket AND o.name = object.name AND NOT o.is_versioned
                        AND rowlock.is_held(o));
                DELETE FROM storage.objects AS o
                WHERE o.bucket_id = p_bucket AND o.name = object.name AND o.archived_at IS NOT NULL
                    AND NOT o.is_versioned;
            END IF;
            PERFORM rowlock.set_aside(object.id, status = 'ENABLED');
            PERFORM rowlock.place_marker(p_bucket, object.name, object.owner_id, status = 'ENABLED');
        END IF;
        expired := expired + 1;
    END LOOP;
    RETURN expired;
END
$$;

-- Removes delete markers behind which nothing is left.
CREATE FUNCTION rowlock.remove_expired_markers(p_bucket text, p_ids uuid[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    marker storage.objects;
    removed integer := 0;
BEGIN
    FOR marker IN
        SELECT o.* FROM storage.objects AS o
        WHERE o.id = ANY (p_ids) AND o.bucket_id = p_bucket AND o.archived_at IS NULL AND o.is_delete_marker
        ORDER BY o.name COLLATE "C"
        FOR UPDATE OF o SKIP LOCKED
    LOOP
        -- Nobody may archive a version of this key between the question and the removal.
        CONTINUE WHEN NOT pg_catalog.pg_try_advisory_xact_lock(
            pg_catalog.hashtextextended(p_bucket || '/' || marker.name, 0));
        CONTINUE WHEN EXISTS (
            SELECT FROM storage.objects AS o
            WHERE o.bucket_id = p_bucket AND o.name = marker.name AND o.archived_at IS NOT NULL);
        DELETE FROM storage.objects AS o WHERE o.id = marker.id;
        removed := removed + 1;
    END LOOP;
    RETURN removed;
END
$$;

-- Removes noncurrent versions for good, unless they are held or too few newer ones are left.
CREATE FUNCTION rowlock.expire_noncurrent(p_bucket text, p_targets jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    removed integer;
BEGIN
    WITH doomed AS (
        SELECT o.id FROM storage.objects AS o
        JOIN pg_catalog.jsonb_to_recordset(p_targets)
            AS seen (id uuid, archived timestamptz, tags jsonb, keep integer) ON o.id = seen.id
        WHERE o.bucket_id = p_bucket AND o.archived_at = seen.archived AND o.tags IS NOT DISTINCT FROM seen.tags
            AND NOT rowlock.is_held(o)
            AND seen.keep <= (
                SELECT count(*) FROM (
                    SELECT FROM storage.objects AS newer
                    WHERE newer.bucket_id = o.bucket_id AND newer.name = o.name AND newer.archived_at > o.archived_at
                    LIMIT seen.keep) AS kept)
        FOR UPDATE OF o SKIP LOCKED
    )
    DELETE FROM storage.objects AS o USING doomed WHERE o.id = doomed.id;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

-- Aborts uploads nobody has completed. One that is being written to or completed right now is left alone.
CREATE FUNCTION rowlock.abort_stale_uploads(p_bucket text, p_ids text[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    aborted integer;
BEGIN
    WITH doomed AS (
        SELECT u.id FROM storage.s3_multipart_uploads AS u
        WHERE u.id = ANY (p_ids) AND u.bucket_id = p_bucket AND u.completed_at IS NULL
        FOR UPDATE OF u SKIP LOCKED
    )
    DELETE FROM storage.s3_multipart_uploads AS u USING doomed WHERE u.id = doomed.id;
    GET DIAGNOSTICS aborted = ROW_COUNT;
    RETURN aborted;
END
$$;
