-- Writing and deleting objects: everything that must be decided in the committing transaction (DESIGN §6).
--
-- Refusals carry a SQLSTATE of class RL, mapped to S3's codes in gateway/metadata/errors.py:
--   RL001 NoSuchBucket          RL002 NoSuchKey           RL003 PreconditionFailed   RL004 the writer's epoch is dead
--   RL005 EntityTooLarge        RL006 type not allowed    RL007 NoSuchUpload         RL008 ConditionalRequestConflict
--   RL009 InvalidPart           RL010 AccessDenied: the version is locked             RL011 the bucket has no object lock
--   RL012 InvalidBucketState    RL013 NoSuchVersion       RL014 the bucket's default encryption is another than assumed
--   RL015 AnnotationLimitExceeded
--   RL000 a dry run came to its end

-- What a write must know of a bucket and of the key's current object, seen past row-level security. It is told to the
-- functions below only, never to the caller. A key whose current version is a delete marker has no object, but a
-- ``marker_id``. ``null_id`` is an archived null version, which a write into a suspended bucket takes the place of.
CREATE FUNCTION rowlock.write_facts(
    p_bucket text, p_name text,
    OUT file_size_limit bigint, OUT allowed_mime_types text[], OUT versioning_status text, OUT object_lock jsonb,
    OUT default_encryption jsonb, OUT object_id uuid, OUT etag text, OUT version text, OUT size_bytes bigint,
    OUT updated_at timestamptz, OUT marker_id uuid, OUT null_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    is_marker boolean;
BEGIN
    IF NOT pg_catalog.pg_has_role(session_user, 'rowlock_gateway', 'MEMBER') THEN
        PERFORM rowlock.require_gateway();
    END IF;
    SELECT b.file_size_limit, b.allowed_mime_types, b.versioning_status, c.document,
        o.id, o.etag, o.version, o.size_bytes, o.updated_at, o.is_delete_marker
    INTO file_size_limit, allowed_mime_types, versioning_status, default_encryption,
        object_id, etag, version, size_bytes, updated_at, is_marker
    FROM storage.buckets AS b
    LEFT JOIN storage.bucket_configurations AS c ON c.bucket_id = p_bucket AND c.kind = 'encryption'
    LEFT JOIN storage.objects AS o
        ON o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL
    WHERE b.id = p_bucket;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'RL001';
    END IF;
    IF is_marker THEN
        marker_id := object_id;
        object_id := NULL; etag := NULL; version := NULL; size_bytes := NULL; updated_at := NULL;
    END IF;
    IF versioning_status = 'ENABLED' THEN
        object_lock := rowlock.lock_configuration(p_bucket);
    ELSIF versioning_status = 'SUSPENDED' THEN
        SELECT o.id INTO null_id FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NOT NULL
            AND o.archived_version = 'null' COLLATE "C";
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

-- Does the caller see this row? Of one that it does not see, no condition may tell it anything.
CREATE FUNCTION rowlock.sees_object(p_object uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    RETURN EXISTS (SELECT FROM storage.objects AS o WHERE o.id = p_object);
END
$$;

-- The same condition, held against what the caller sees: for whoever does not see the object there is none that could
-- match, and that there is one is told only to whoever might have made it.
CREATE FUNCTION rowlock.require_write_condition(
    p_bucket text, p_name text, p_owner_id text, p_metadata jsonb, p_user_metadata jsonb,
    p_object uuid, p_etag text, p_if_match text, p_if_none_match text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF p_object IS NULL OR rowlock.sees_object(p_object) THEN
        PERFORM rowlock.require_condition(p_object IS NOT NULL, p_etag, p_if_match, p_if_none_match);
    ELSIF p_if_match IS NOT NULL THEN
        RAISE SQLSTATE 'RL002';
    ELSIF p_if_none_match = '*' THEN
        BEGIN
            -- policies are asked before the index is
            INSERT INTO storage.objects (bucket_id, name, owner, owner_id, metadata, user_metadata)
            VALUES (p_bucket, p_name, rowlock.subject_uuid(p_owner_id), p_owner_id, p_metadata, p_user_metadata);
        EXCEPTION
            WHEN unique_violation THEN NULL;
        END;
        RAISE SQLSTATE 'RL003' USING DETAIL = 'If-None-Match';
    END IF;
END
$$;

-- The object by which Supabase shows an empty folder has no content, so it is of no type.
CREATE FUNCTION rowlock.require_limits(
    p_size bigint, p_mime_type text, p_file_size_limit bigint, p_allowed_mime_types text[],
    p_name text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    IF p_size > p_file_size_limit THEN
        RAISE SQLSTATE 'RL005';
    END IF;
    IF cardinality(p_allowed_mime_types) > 0
        AND NOT (p_size = 0 AND coalesce(p_name, '') LIKE '%.emptyFolderPlaceholder')
        AND NOT EXISTS (
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

-- Bytes come encrypted from the gateway, which asks nobody what the bucket's default is: it assumes one, says so in the
-- attributes, and is told here when that is not (or no longer) the bucket's. Who asked for a method itself gets it, and
-- what was settled when an upload began stays.
CREATE FUNCTION rowlock.require_encryption(p_default jsonb, p_attributes jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    IF (p_attributes -> 'encryption' IS NULL OR p_attributes ? 'bucket_default')
        AND p_attributes -> 'encryption_settled' IS NULL
        AND p_attributes -> 'bucket_default' IS DISTINCT FROM p_default
    THEN
        RAISE SQLSTATE 'RL014' USING DETAIL = coalesce(p_default::text, 'null');
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

-- Both for a write that has a blob: raises RL004, or says since when the blob is a row's.
CREATE FUNCTION rowlock.admit_blob(p_epoch integer, p_blob_id text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_epoch(p_epoch);
    RETURN rowlock.blob_owned_since(p_blob_id);
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
-- true size and type. A new key needs INSERT only; a key that exists needs SELECT and UPDATE, in a versioned bucket too:
-- there a trigger (keep_version, 0010) keeps what the row was before as an archived version.
--
-- This is the hot path: no subtransaction, and a function is called only where a request or a bucket asks for it.
-- ``version_id`` is NULL unless the bucket keeps versions: S3 does not tell the null version a suspended one writes.
CREATE FUNCTION rowlock.put_object(
    p_bucket text, p_name text, p_version text, p_owner_id text, p_metadata jsonb, p_user_metadata jsonb,
    p_epoch integer, p_backend text, p_blob_id text, p_content bytea, p_size bigint, p_etag text,
    p_part_sizes bigint[], p_part_blobs text[], p_part_checksums text[],
    p_checksum_algorithm text, p_checksum_type text, p_checksum_value text, p_attributes jsonb,
    p_if_match text, p_if_none_match text,
    OUT last_modified timestamptz, OUT version_id text)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
    keeps_versions boolean;
    owner_uuid uuid;
    attributes jsonb;
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(p_bucket || '/' || p_name, 0));
    IF p_epoch IS NOT NULL THEN
        last_modified := rowlock.admit_blob(p_epoch, coalesce(p_blob_id, p_part_blobs[1]));
        IF last_modified IS NOT NULL THEN
            version_id := CASE rowlock.bucket_versioning(p_bucket) WHEN 'ENABLED' THEN p_version END;
            RETURN;
        END IF;
    END IF;
    IF p_owner_id IS NOT NULL THEN
        owner_uuid := rowlock.subject_uuid(p_owner_id);
    END IF;
    -- A row may come or go by plain SQL, which takes no lock of ours; look again, but not for ever.
    FOR attempt IN 1..5 LOOP
        facts := rowlock.write_facts(p_bucket, p_name);
        IF p_if_match IS NOT NULL OR p_if_none_match IS NOT NULL THEN
            PERFORM rowlock.require_write_condition(
                p_bucket, p_name, p_owner_id, p_metadata, p_user_metadata, facts.object_id, facts.etag,
                p_if_match, p_if_none_match);
        END IF;
        IF facts.file_size_limit IS NOT NULL OR facts.allowed_mime_types IS NOT NULL THEN
            PERFORM rowlock.require_limits(
                p_size, p_metadata ->> 'mimetype', facts.file_size_limit, facts.allowed_mime_types, p_name);
        END IF;
        IF facts.default_encryption IS NOT NULL OR p_attributes IS NOT NULL THEN
            PERFORM rowlock.require_encryption(facts.default_encryption, p_attributes);
        END IF;
        keeps_versions := facts.versioning_status = 'ENABLED';
        last_modified := clock_timestamp();
        attributes := p_attributes;
        IF facts.object_lock IS NOT NULL OR attributes IS NOT NULL THEN
            attributes := rowlock.with_lock(attributes, facts.object_lock, last_modified);
        END IF;
        version_id := CASE WHEN keeps_versions THEN p_version END;
        IF facts.object_id IS NOT NULL THEN
            UPDATE storage.objects AS o SET
                version = p_version, is_versioned = keeps_versions, owner = owner_uuid, owner_id = p_owner_id,
                created_at = CASE WHEN facts.versioning_status = 'DISABLED' THEN o.created_at ELSE last_modified END,
                updated_at = last_modified, metadata = p_metadata, user_metadata = p_user_metadata,
                backend = p_backend, blob_id = p_blob_id, content = p_content, size_bytes = p_size, etag = p_etag,
                part_sizes = p_part_sizes, part_blobs = p_part_blobs, part_checksums = p_part_checksums,
                checksum_algorithm = p_checksum_algorithm, checksum_type = p_checksum_type,
                checksum_value = p_checksum_value,
                tags = attributes -> 'tags', acl = attributes -> 'acl', lock_mode = attributes ->> 'lock_mode',
                lock_until = (attributes ->> 'lock_until')::timestamptz,
                legal_hold = (attributes ->> 'legal_hold')::boolean, encryption = attributes -> 'encryption'
            -- the name too: plain SQL may rename the row while this waits for it
            WHERE o.id = facts.object_id AND o.etag IS NOT DISTINCT FROM facts.etag
                AND o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL;
            IF FOUND THEN
                RETURN;
            END IF;
            IF (rowlock.write_facts(p_bucket, p_name)).object_id = facts.object_id
                AND (rowlock.write_facts(p_bucket, p_name)).etag IS NOT DISTINCT FROM facts.etag
            THEN
                RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role replace the object';
            END IF;
        ELSE
            IF facts.null_id IS NOT NULL THEN
                -- no row of the caller's is replaced that would show its right to this one
                DELETE FROM storage.objects AS o WHERE o.id = facts.null_id;
                IF NOT FOUND THEN
                    RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role replace the null version';
                END IF;
            END IF;
            IF facts.marker_id IS NOT NULL THEN
                PERFORM rowlock.set_aside(facts.marker_id, keeps_versions);
            END IF;
            -- without a conflict target, which would ask the SELECT policies about the new row
            INSERT INTO storage.objects (
                bucket_id, name, version, is_versioned, owner, owner_id, metadata, user_metadata, created_at, updated_at,
                backend, blob_id, content, size_bytes, etag, part_sizes, part_blobs, part_checksums,
                checksum_algorithm, checksum_type, checksum_value,
                tags, acl, lock_mode, lock_until, legal_hold, encryption)
            VALUES (
                p_bucket, p_name, p_version, keeps_versions, owner_uuid, p_owner_id, p_metadata,
                p_user_metadata, last_modified, last_modified,
                p_backend, p_blob_id, p_content, p_size, p_etag, p_part_sizes, p_part_blobs, p_part_checksums,
                p_checksum_algorithm, p_checksum_type, p_checksum_value,
                attributes -> 'tags', attributes -> 'acl', attributes ->> 'lock_mode',
                (attributes ->> 'lock_until')::timestamptz, (attributes ->> 'legal_hold')::boolean,
                attributes -> 'encryption')
            ON CONFLICT DO NOTHING;
            IF FOUND THEN
                RETURN;
            END IF;
        END IF;
    END LOOP;
    RAISE SQLSTATE 'RL008';
END
$$;

-- Would this write be let in? Asked before a large body is read, so that a denied upload costs neither side its bytes.
-- The statement runs for real, as the caller, and is rolled back. A role free of policies skips it. Returns the bucket's
-- default encryption and its size limit, which holds for bodies whose length is not known beforehand too.
CREATE FUNCTION rowlock.probe_put_object(
    p_bucket text, p_name text, p_owner_id text, p_metadata jsonb, p_user_metadata jsonb, p_size bigint,
    p_if_match text, p_if_none_match text, OUT default_encryption jsonb, OUT file_size_limit bigint)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
    touched uuid;
BEGIN
    facts := rowlock.write_facts(p_bucket, p_name);
    default_encryption := facts.default_encryption;
    file_size_limit := facts.file_size_limit;
    PERFORM rowlock.require_write_condition(
        p_bucket, p_name, p_owner_id, p_metadata, p_user_metadata, facts.object_id, facts.etag,
        p_if_match, p_if_none_match);
    PERFORM rowlock.require_limits(
        p_size, p_metadata ->> 'mimetype', facts.file_size_limit, facts.allowed_mime_types, p_name);
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
            VALUES (p_bucket, p_name, rowlock.subject_uuid(p_owner_id), p_owner_id, p_metadata, p_user_metadata)
            -- a delete marker is there, or somebody else made the key meanwhile; the commit will look again
            ON CONFLICT DO NOTHING;
        END IF;
        RAISE SQLSTATE 'RL000';
    EXCEPTION
        WHEN SQLSTATE 'RL000' THEN NULL;
    END;
END
$$;

-- Replaces what describes an object and leaves its bytes alone (CopyObject onto itself). A bucket that keeps versions
-- gets a new one instead: then nothing is done and last_modified is NULL.
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
    IF facts.versioning_status <> 'DISABLED' THEN
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM rowlock.require_encryption(
        facts.default_encryption,
        (SELECT jsonb_strip_nulls(jsonb_build_object('encryption', o.encryption))
         FROM storage.objects AS o WHERE o.id = facts.object_id));
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

-- Did a put whose COMMIT was lost on the way take effect? Waits for the writer first, should it still be at work. A row
-- that says so may be archived by now.
CREATE FUNCTION rowlock.find_written_version(
    p_bucket text, p_name text, p_version text, OUT last_modified timestamptz, OUT version_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    PERFORM rowlock.lock_key(p_bucket, p_name);
    SELECT o.updated_at, CASE WHEN o.is_versioned THEN o.version END INTO last_modified, version_id
    FROM storage.objects AS o
    WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.version = p_version AND NOT o.is_delete_marker;
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

-- Deletes the objects of these names as the caller, in a bucket that never kept versions; one row for each name.
CREATE FUNCTION rowlock.delete_names(p_bucket text, p_names text[], p_etags text[])
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
                WHEN NOT wanted.name = ANY (existing) THEN 'absent'
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
ALTER FUNCTION rowlock.admit_blob(integer, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.find_written_version(text, text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.existing_names(text, text[]) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.bucket_exists(text) OWNER TO rowlock_engine;
