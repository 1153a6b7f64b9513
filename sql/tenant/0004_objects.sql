-- Writing and deleting objects: everything that must be decided in the committing transaction (DESIGN §6).
--
-- Refusals carry a SQLSTATE of class RL, mapped to S3's codes in gateway/metadata/errors.py:
--   RL001 NoSuchBucket          RL002 NoSuchKey           RL003 PreconditionFailed   RL004 the writer's epoch is dead
--   RL005 EntityTooLarge        RL006 type not allowed    RL007 NoSuchUpload         RL008 ConditionalRequestConflict
--   RL009 InvalidPart           RL000 a dry run came to its end

-- What a write must know of a bucket and of the key's current object, seen past row-level security. It is told to the
-- functions below only, never to the caller.
CREATE FUNCTION rowlock.write_facts(
    p_bucket text, p_name text,
    OUT file_size_limit bigint, OUT allowed_mime_types text[], OUT object_id uuid, OUT etag text, OUT version text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT b.file_size_limit, b.allowed_mime_types, o.id, o.etag, o.version
    INTO file_size_limit, allowed_mime_types, object_id, etag, version
    FROM storage.buckets AS b
    LEFT JOIN storage.objects AS o ON o.bucket_id = p_bucket AND o.name = p_name COLLATE "C"
        AND o.archived_at IS NULL AND NOT o.is_delete_marker
    WHERE b.id = p_bucket;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'RL001';
    END IF;
END
$$;

-- RFC 9110 §13.1 as S3 applies it to writes: If-Match on a missing key is NoSuchKey. Entity tags are without quotes.
CREATE FUNCTION rowlock.require_condition(
    p_exists boolean, p_etag text, p_if_match text, p_if_none_match text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    IF p_if_match IS NOT NULL THEN
        IF NOT p_exists THEN
            RAISE SQLSTATE 'RL002';
        ELSIF p_if_match <> '*' AND p_if_match IS DISTINCT FROM p_etag THEN
            RAISE SQLSTATE 'RL003' USING DETAIL = 'If-Match';
        END IF;
    END IF;
    IF p_exists AND p_if_none_match IN ('*', p_etag) THEN
        RAISE SQLSTATE 'RL003' USING DETAIL = 'If-None-Match';
    END IF;
END
$$;

CREATE FUNCTION rowlock.require_limits(
    p_size bigint, p_mime_type text, p_file_size_limit bigint, p_allowed_mime_types text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    IF p_size > p_file_size_limit THEN
        RAISE SQLSTATE 'RL005';
    END IF;
    IF cardinality(p_allowed_mime_types) > 0 AND NOT EXISTS (
        SELECT FROM unnest(p_allowed_mime_types) AS allowed
        WHERE allowed IN ('*', '*/*')
            OR lower(split_part(p_mime_type, ';', 1)) = lower(allowed)
            OR (split_part(allowed, '/', 2) = '*'
                AND split_part(lower(p_mime_type), '/', 1) = split_part(lower(allowed), '/', 1))
    ) THEN
        RAISE SQLSTATE 'RL006';
    END IF;
END
$$;

-- A worker whose epoch was declared dead must not commit: the sweeper may already have taken its blob. The shared lock
-- is what the sweeper waits for after it has declared an epoch dead.
CREATE FUNCTION rowlock.require_epoch(p_epoch integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(1919907700, p_epoch);
    IF NOT EXISTS (SELECT FROM rowlock.epochs AS e WHERE e.id = p_epoch AND e.dead_at IS NULL) THEN
        RAISE SQLSTATE 'RL004';
    END IF;
END
$$;

-- When did this blob become a row's? NULL: not yet. A write whose COMMIT was lost on the way is repeated, by the gateway
-- or by a server process that reads its socket late; it must count once, although its row may have been replaced since.
CREATE FUNCTION rowlock.blob_owned_since(p_blob_id text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    since timestamptz;
    given_up boolean;
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT o.updated_at INTO since FROM storage.objects AS o WHERE o.blob_id = p_blob_id;
    IF FOUND THEN
        RETURN since;
    END IF;
    SELECT g.released_at, g.abandoned INTO since, given_up FROM rowlock.garbage AS g WHERE g.blob_id = p_blob_id;
    IF given_up THEN
        RAISE SQLSTATE 'RL004';
    END IF;
    RETURN since;
END
$$;

-- Writers of one key take turns. 64 bits; the lock is held for the committing transaction only.
CREATE FUNCTION rowlock.lock_key(p_bucket text, p_name text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = '' AS
$$ SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(p_bucket || '/' || p_name, 0)) $$;

-- The uuid of a subject, where it is one (storage.objects.owner is a uuid, owner_id any text).
CREATE FUNCTION rowlock.subject_uuid(p_subject text) RETURNS uuid
LANGUAGE sql IMMUTABLE SET search_path = '' AS
$$
    SELECT CASE WHEN p_subject ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' THEN p_subject::uuid END
$$;

-- Puts an object: new row or new content of the row, as the caller, so that policies see the true statement with the
-- true size and type. A new key needs INSERT only; a key that exists needs SELECT and UPDATE.
CREATE FUNCTION rowlock.put_object(
    p_bucket text, p_name text, p_version text, p_owner_id text, p_metadata jsonb, p_user_metadata jsonb,
    p_epoch integer, p_backend text, p_blob_id text, p_content bytea, p_size bigint, p_etag text,
    p_part_sizes bigint[], p_part_blobs text[], p_part_checksums text[],
    p_checksum_algorithm text, p_checksum_type text, p_checksum_value text, p_attributes jsonb,
    p_if_match text, p_if_none_match text)
RETURNS TABLE (object_id uuid, last_modified timestamptz)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
    moment timestamptz;
BEGIN
    IF p_epoch IS NOT NULL THEN
        PERFORM rowlock.require_epoch(p_epoch);
    END IF;
    PERFORM rowlock.lock_key(p_bucket, p_name);
    IF p_epoch IS NOT NULL THEN
        last_modified := rowlock.blob_owned_since(coalesce(p_blob_id, p_part_blobs[1]));
        IF last_modified IS NOT NULL THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    -- A row may come or go by plain SQL, which takes no lock of ours; look again, but not for ever.
    FOR attempt IN 1..5 LOOP
        facts := rowlock.write_facts(p_bucket, p_name);
        IF p_if_match IS NOT NULL OR p_if_none_match IS NOT NULL THEN
            PERFORM rowlock.require_condition(facts.object_id IS NOT NULL, facts.etag, p_if_match, p_if_none_match);
        END IF;
        IF facts.file_size_limit IS NOT NULL OR facts.allowed_mime_types IS NOT NULL THEN
            PERFORM rowlock.require_limits(
                p_size, p_metadata ->> 'mimetype', facts.file_size_limit, facts.allowed_mime_types);
        END IF;
        moment := clock_timestamp();
        IF facts.object_id IS NOT NULL THEN
            UPDATE storage.objects AS o SET
                version = p_version, owner = rowlock.subject_uuid(p_owner_id), owner_id = p_owner_id,
                metadata = p_metadata, user_metadata = p_user_metadata,
                backend = p_backend, blob_id = p_blob_id, content = p_content, size_bytes = p_size, etag = p_etag,
                part_sizes = p_part_sizes, part_blobs = p_part_blobs, part_checksums = p_part_checksums,
                checksum_algorithm = p_checksum_algorithm, checksum_type = p_checksum_type,
                checksum_value = p_checksum_value,
                tags = p_attributes -> 'tags', acl = p_attributes -> 'acl', lock_mode = p_attributes ->> 'lock_mode',
                lock_until = (p_attributes ->> 'lock_until')::timestamptz,
                legal_hold = (p_attributes ->> 'legal_hold')::boolean, encryption = p_attributes -> 'encryption'
            -- the name too: plain SQL may rename the row while this waits for it
            WHERE o.id = facts.object_id AND o.etag IS NOT DISTINCT FROM facts.etag
                AND o.bucket_id = p_bucket AND o.name = p_name COLLATE "C"
            RETURNING o.id, o.updated_at INTO object_id, last_modified;
            IF FOUND THEN
                RETURN NEXT;
                RETURN;
            END IF;
            IF (rowlock.write_facts(p_bucket, p_name)).object_id = facts.object_id
                AND (rowlock.write_facts(p_bucket, p_name)).etag IS NOT DISTINCT FROM facts.etag
            THEN
                RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role replace the object';
            END IF;
        ELSE
            -- Without a conflict target: naming one would ask for the SELECT policies too, which a role that may
            -- only insert does not pass.
            INSERT INTO storage.objects (
                bucket_id, name, version, owner, owner_id, metadata, user_metadata, created_at, updated_at,
                backend, blob_id, content, size_bytes, etag, part_sizes, part_blobs, part_checksums,
                checksum_algorithm, checksum_type, checksum_value,
                tags, acl, lock_mode, lock_until, legal_hold, encryption)
            VALUES (
                p_bucket, p_name, p_version, rowlock.subject_uuid(p_owner_id), p_owner_id, p_metadata,
                p_user_metadata, moment, moment,
                p_backend, p_blob_id, p_content, p_size, p_etag, p_part_sizes, p_part_blobs, p_part_checksums,
                p_checksum_algorithm, p_checksum_type, p_checksum_value,
                p_attributes -> 'tags', p_attributes -> 'acl', p_attributes ->> 'lock_mode',
                (p_attributes ->> 'lock_until')::timestamptz, (p_attributes ->> 'legal_hold')::boolean,
                p_attributes -> 'encryption')
            ON CONFLICT DO NOTHING;
            IF FOUND THEN
                object_id := NULL;
                last_modified := moment;
                RETURN NEXT;
                RETURN;
            END IF;
        END IF;
    END LOOP;
    RAISE SQLSTATE 'RL008';
END
$$;

-- Would this write be let in? Asked before a large body is read, so that a denied upload costs neither side its bytes.
-- The statement runs for real, as the caller, and is rolled back. A role free of policies skips it.
CREATE FUNCTION rowlock.probe_put_object(
    p_bucket text, p_name text, p_owner_id text, p_metadata jsonb, p_user_metadata jsonb, p_size bigint,
    p_if_match text, p_if_none_match text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
    touched uuid;
BEGIN
    facts := rowlock.write_facts(p_bucket, p_name);
    PERFORM rowlock.require_condition(facts.object_id IS NOT NULL, facts.etag, p_if_match, p_if_none_match);
    PERFORM rowlock.require_limits(p_size, p_metadata ->> 'mimetype', facts.file_size_limit, facts.allowed_mime_types);
    IF NOT pg_catalog.row_security_active('storage.objects') THEN
        RETURN;
    END IF;
    BEGIN
        IF facts.object_id IS NOT NULL THEN
            UPDATE storage.objects AS o SET
                owner = rowlock.subject_uuid(p_owner_id), owner_id = p_owner_id,
                metadata = p_metadata, user_metadata = p_user_metadata
            WHERE o.id = facts.object_id RETURNING o.id INTO touched;
            IF touched IS NULL THEN
                RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role replace the object';
            END IF;
        ELSE
            INSERT INTO storage.objects (bucket_id, name, owner, owner_id, metadata, user_metadata)
            VALUES (p_bucket, p_name, rowlock.subject_uuid(p_owner_id), p_owner_id, p_metadata, p_user_metadata);
        END IF;
        RAISE SQLSTATE 'RL000';
    EXCEPTION
        WHEN SQLSTATE 'RL000' THEN NULL;
        -- somebody else made the key meanwhile; the commit will look again
        WHEN unique_violation THEN NULL;
    END;
END
$$;

-- Replaces what describes an object and leaves its bytes alone (CopyObject onto itself).
CREATE FUNCTION rowlock.replace_metadata(
    p_bucket text, p_name text, p_source_version text, p_metadata jsonb, p_user_metadata jsonb,
    p_tags jsonb, p_keep_tags boolean, p_if_match text, p_if_none_match text)
RETURNS TABLE (object_id uuid, last_modified timestamptz)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
BEGIN
    PERFORM rowlock.lock_key(p_bucket, p_name);
    facts := rowlock.write_facts(p_bucket, p_name);
    PERFORM rowlock.require_condition(facts.object_id IS NOT NULL, facts.etag, p_if_match, p_if_none_match);
    UPDATE storage.objects AS o SET
        metadata = p_metadata, user_metadata = p_user_metadata, updated_at = clock_timestamp(),
        tags = CASE WHEN p_keep_tags THEN o.tags ELSE p_tags END
    WHERE o.id = facts.object_id AND o.version = p_source_version
        AND o.bucket_id = p_bucket AND o.name = p_name COLLATE "C"
    RETURNING o.id, o.updated_at INTO object_id, last_modified;
    IF FOUND THEN
        RETURN NEXT;
    ELSIF (rowlock.write_facts(p_bucket, p_name)).version = p_source_version THEN
        RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role replace the object';
    END IF;
    -- no row: another writer was faster, the caller reads the source again
END
$$;

-- Did a put whose COMMIT was lost on the way take effect? Waits for the writer first, should it still be at work.
CREATE FUNCTION rowlock.is_current_version(p_bucket text, p_name text, p_version text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    PERFORM rowlock.lock_key(p_bucket, p_name);
    RETURN EXISTS (
        SELECT FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.version = p_version);
END
$$;

-- Deletes as the caller. 'deleted', or 'absent'; a row the caller may not delete is refused, not hidden.
CREATE FUNCTION rowlock.delete_object(p_bucket text, p_name text, p_if_match text) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
BEGIN
    FOR attempt IN 1..5 LOOP
        facts := rowlock.write_facts(p_bucket, p_name);
        PERFORM rowlock.require_condition(facts.object_id IS NOT NULL, facts.etag, p_if_match, NULL);
        IF facts.object_id IS NULL THEN
            RETURN 'absent';
        END IF;
        DELETE FROM storage.objects AS o
        WHERE o.id = facts.object_id AND o.archived_at IS NULL
            AND o.bucket_id = p_bucket AND o.name = p_name COLLATE "C"
            AND (p_if_match IS NULL OR o.etag IS NOT DISTINCT FROM facts.etag);
        IF FOUND THEN
            RETURN 'deleted';
        END IF;
        IF (rowlock.write_facts(p_bucket, p_name)).object_id = facts.object_id
            AND (rowlock.write_facts(p_bucket, p_name)).etag IS NOT DISTINCT FROM facts.etag
        THEN
            RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role delete the object';
        END IF;
    END LOOP;
    RAISE SQLSTATE 'RL008';
END
$$;

-- Which of these names exist, seen past row-level security: tells "missing" from "not yours" after a bulk delete.
CREATE FUNCTION rowlock.existing_names(p_bucket text, p_names text[]) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    IF NOT EXISTS (SELECT FROM storage.buckets AS b WHERE b.id = p_bucket) THEN
        RAISE SQLSTATE 'RL001';
    END IF;
    RETURN QUERY
        SELECT o.name FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = ANY (p_names) AND o.archived_at IS NULL AND NOT o.is_delete_marker;
END
$$;

-- Deletes many as the caller: one row for each name that could not be deleted although it exists.
CREATE FUNCTION rowlock.delete_objects(p_bucket text, p_names text[], p_etags text[])
RETURNS TABLE (name text, outcome text)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    existing text[] := ARRAY(SELECT rowlock.existing_names(p_bucket, p_names));
    deleted text[] := '{}';
    gone_now text[];
BEGIN
    -- A row that was replaced by a new one while this waited for it is not in the statement's snapshot: look again.
    FOR attempt IN 1..3 LOOP
        -- Rows are locked in the order of their names, so that two bulk deletes cannot wait for each other.
        WITH doomed AS (
            SELECT o.id FROM storage.objects AS o
            JOIN unnest(p_names, p_etags) AS wanted (name, etag) ON o.name = wanted.name COLLATE "C"
            WHERE o.bucket_id = p_bucket AND o.archived_at IS NULL AND NOT o.is_delete_marker
                AND (wanted.etag IS NULL OR wanted.etag = '*' OR wanted.etag = o.etag)
                AND (attempt = 1 OR NOT o.name = ANY (deleted))
            ORDER BY o.name COLLATE "C"
            FOR UPDATE OF o
        ), gone AS (
            DELETE FROM storage.objects AS o USING doomed WHERE o.id = doomed.id RETURNING o.name
        )
        SELECT coalesce(array_agg(gone.name), '{}') INTO gone_now FROM gone;
        deleted := deleted || gone_now;
        EXIT WHEN cardinality(deleted) = cardinality(existing) OR (attempt > 1 AND cardinality(gone_now) = 0);
        existing := deleted || ARRAY(
            SELECT left_over FROM rowlock.existing_names(p_bucket, p_names) AS left_over
            WHERE NOT left_over = ANY (deleted));
    END LOOP;
    RETURN QUERY
        SELECT wanted.name,
            CASE
                WHEN wanted.name = ANY (deleted) THEN 'deleted'
                WHEN NOT wanted.name = ANY (existing) THEN CASE WHEN wanted.etag IS NULL THEN 'absent' ELSE 'missing' END
                WHEN wanted.etag IS NULL THEN 'denied'
                ELSE 'mismatch'
            END
        FROM unnest(p_names, p_etags) AS wanted (name, etag);
END
$$;

-- Why did a statement as the caller find nothing? 'none': there is no such bucket; 'hidden': the caller may not see
-- the bucket; 'visible': it may.
CREATE FUNCTION rowlock.bucket_exists(p_bucket text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN EXISTS (SELECT FROM storage.buckets AS b WHERE b.id = p_bucket);
END
$$;

CREATE FUNCTION rowlock.bucket_visibility(p_bucket text) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS
$$
    SELECT CASE
        WHEN EXISTS (SELECT FROM storage.buckets AS b WHERE b.id = p_bucket) THEN 'visible'
        WHEN rowlock.bucket_exists(p_bucket) THEN 'hidden'
        ELSE 'none'
    END
$$;

-- Deletes a bucket as the caller.
CREATE FUNCTION rowlock.delete_bucket(p_bucket text) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    DELETE FROM storage.buckets AS b WHERE b.id = p_bucket;
    IF FOUND THEN
        RETURN 'deleted';
    END IF;
    RETURN rowlock.bucket_visibility(p_bucket);
END
$$;

ALTER FUNCTION rowlock.write_facts(text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.require_epoch(integer) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.blob_owned_since(text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.is_current_version(text, text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.existing_names(text, text[]) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.bucket_exists(text) OWNER TO rowlock_engine;
