-- Versions of objects (DESIGN §4, §5). Every version is a row of storage.objects; the current one has archived_at NULL.
--
-- Overwriting is the caller's UPDATE of the current row, whether the bucket is versioned or not, so policies see the
-- same statement with the same rows. Where the bucket keeps versions, a trigger then puts what the row was before into
-- an archived row of its own: by the engine, because the caller's right to replace the row was proven by its UPDATE.
-- A version's place among the others is archived_at: the newest archived is the one replaced last.

-- The id under which S3 knows a version: 'null' for one written while versioning was off or suspended.
CREATE FUNCTION rowlock.version_label(p_version text, p_is_versioned boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN p_is_versioned THEN p_version ELSE 'null' END $$;

-- When the next version of a key is archived: now, but after every other of the key, whatever the clock does.
CREATE FUNCTION rowlock.next_archived_at(p_bucket text, p_name text) RETURNS timestamptz
LANGUAGE sql VOLATILE SET search_path = '' AS
$$
    SELECT greatest(clock_timestamp(), (
        SELECT o.archived_at + interval '1 microsecond' FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NOT NULL
        ORDER BY o.archived_at DESC LIMIT 1))
$$;

-- Called by the trigger after_update (0003), as the engine.
CREATE FUNCTION rowlock.keep_version(p_old storage.objects, p_is_versioned boolean) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    kept uuid;
BEGIN
    IF NOT p_is_versioned THEN
        -- a key has one null version, and that is the new one
        DELETE FROM storage.objects AS o
        WHERE o.bucket_id = p_old.bucket_id AND o.name = p_old.name COLLATE "C" AND o.archived_at IS NOT NULL
            AND o.archived_version = 'null' COLLATE "C";
    END IF;
    INSERT INTO storage.objects (
        bucket_id, name, owner, owner_id, created_at, updated_at, last_accessed_at, metadata, user_metadata, version,
        archived_at, archived_version, is_delete_marker, is_versioned, size_bytes, etag, backend, blob_id, content,
        part_sizes, part_blobs, part_checksums, checksum_algorithm, checksum_type, checksum_value,
        tags, acl, lock_mode, lock_until, legal_hold, encryption, is_annotated)
    VALUES (
        p_old.bucket_id, p_old.name, p_old.owner, p_old.owner_id, p_old.created_at, p_old.updated_at, p_old.last_accessed_at,
        p_old.metadata, p_old.user_metadata, p_old.version,
        rowlock.next_archived_at(p_old.bucket_id, p_old.name), rowlock.version_label(p_old.version, p_old.is_versioned),
        p_old.is_delete_marker, p_old.is_versioned, p_old.size_bytes, p_old.etag, p_old.backend, p_old.blob_id, p_old.content,
        p_old.part_sizes, p_old.part_blobs, p_old.part_checksums, p_old.checksum_algorithm, p_old.checksum_type,
        p_old.checksum_value, p_old.tags, p_old.acl, p_old.lock_mode, p_old.lock_until, p_old.legal_hold, p_old.encryption,
        p_old.is_annotated)
    RETURNING id INTO kept;
    IF p_old.is_annotated THEN
        PERFORM rowlock.move_annotations(p_old.id, kept);
    END IF;
END
$$;

-- The newest archived version of a key becomes its current one, if it has none.
CREATE FUNCTION rowlock.promote_version(p_bucket text, p_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF EXISTS (
        SELECT FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL)
    THEN
        RETURN;
    END IF;
    UPDATE storage.objects AS o SET archived_at = NULL, archived_version = NULL
    WHERE o.id = (
        SELECT newest.id FROM storage.objects AS newest
        WHERE newest.bucket_id = p_bucket AND newest.name = p_name COLLATE "C" AND newest.archived_at IS NOT NULL
        ORDER BY newest.archived_at DESC LIMIT 1);
END
$$;

-- Whoever deletes the current version of a key, by plain SQL too, makes the one before it current.
CREATE FUNCTION rowlock.succeed_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.promote_version(OLD.bucket_id, OLD.name);
    RETURN NULL;
END
$$;
CREATE TRIGGER succeed_version AFTER DELETE ON storage.objects FOR EACH ROW
    WHEN (OLD.archived_at IS NULL AND (OLD.is_versioned OR OLD.is_delete_marker))
    EXECUTE FUNCTION rowlock.succeed_version();

-- Takes the current row of a key out of the way of a new one: archives it, or removes it where it is the null version
-- and the new one is as well. Its callers have proven the caller's right.
CREATE FUNCTION rowlock.set_aside(p_id uuid, p_versioned boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    UPDATE storage.objects AS o SET
        archived_at = rowlock.next_archived_at(o.bucket_id, o.name),
        archived_version = rowlock.version_label(o.version, o.is_versioned)
    WHERE o.id = p_id AND o.archived_at IS NULL;
    -- only now: the trigger above would make the version before it current
    IF NOT p_versioned THEN
        DELETE FROM storage.objects AS o WHERE o.id = p_id AND o.archived_at IS NOT NULL AND NOT o.is_versioned;
    END IF;
END
$$;

-- A delete marker as the current version of a key; returns its version. Its callers have proven the caller's right.
CREATE FUNCTION rowlock.place_marker(p_bucket text, p_name text, p_owner_id text, p_versioned boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    marker text := replace(gen_random_uuid()::text, '-', '');
    moment timestamptz := clock_timestamp();
BEGIN
    PERFORM rowlock.require_gateway();
    INSERT INTO storage.objects (
        bucket_id, name, version, owner, owner_id, created_at, updated_at, is_delete_marker, is_versioned)
    VALUES (
        p_bucket, p_name, marker, rowlock.subject_uuid(p_owner_id), p_owner_id, moment, moment, true, p_versioned);
    RETURN rowlock.version_label(marker, p_versioned);
END
$$;

-- One version of a key, seen past row-level security: told to the functions below only.
CREATE FUNCTION rowlock.version_facts(
    p_bucket text, p_name text, p_version_id text,
    OUT object_id uuid, OUT etag text, OUT size_bytes bigint, OUT updated_at timestamptz, OUT is_delete_marker boolean,
    OUT is_current boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT o.id, o.etag, o.size_bytes, o.updated_at, o.is_delete_marker, true
    INTO object_id, etag, size_bytes, updated_at, is_delete_marker, is_current
    FROM storage.objects AS o
    WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL
        AND rowlock.version_label(o.version, o.is_versioned) = p_version_id;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT o.id, o.etag, o.size_bytes, o.updated_at, o.is_delete_marker, false
    INTO object_id, etag, size_bytes, updated_at, is_delete_marker, is_current
    FROM storage.objects AS o
    WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NOT NULL
        AND o.archived_version = p_version_id COLLATE "C";
END
$$;

-- May the caller delete this row? The statement runs for real, as the caller, and is undone.
CREATE FUNCTION rowlock.may_delete(p_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    DELETE FROM storage.objects AS o WHERE o.id = p_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    RAISE SQLSTATE 'RL000';
EXCEPTION
    -- locked (RL010): the policies let the statement reach the row, and a marker above it takes nothing away
    WHEN SQLSTATE 'RL000' OR SQLSTATE 'RL010' THEN
        RETURN true;
END
$$;

-- May the caller add a row of this name? The same way.
CREATE FUNCTION rowlock.may_insert(p_bucket text, p_name text, p_owner_id text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    INSERT INTO storage.objects (bucket_id, name, owner, owner_id)
    VALUES (p_bucket, p_name, rowlock.subject_uuid(p_owner_id), p_owner_id)
    ON CONFLICT DO NOTHING;
    RAISE SQLSTATE 'RL000';
EXCEPTION
    WHEN SQLSTATE 'RL000' THEN
        RETURN true;
    WHEN insufficient_privilege THEN
        RETURN false;
END
$$;

-- Does a row fit the conditions of a delete? S3 compares times by the second.
CREATE FUNCTION rowlock.is_as_expected(
    p_etag text, p_size bigint, p_updated_at timestamptz,
    p_if_match text, p_if_size bigint, p_if_modified timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$
    SELECT (p_if_match IS NULL OR p_if_match = '*' OR p_if_match IS NOT DISTINCT FROM p_etag)
        AND (p_if_size IS NULL OR p_if_size IS NOT DISTINCT FROM p_size)
        AND (p_if_modified IS NULL
            OR floor(extract(epoch FROM p_if_modified)) = floor(extract(epoch FROM p_updated_at)))
$$;

-- Deletes one object, or one version of it, as the caller. ``outcome``: 'deleted'; 'absent'; 'denied' (there is one that
-- the caller may not delete); 'mismatch' (a condition; what is not there fulfils every one, as S3 has it). ``version_id``
-- is that of what was deleted, or of the marker that was placed; ``is_marker`` says that this is a marker.
--
-- Who may delete the current object may put a marker above it. A marker on a key without an object needs the right to
-- add a row of that name; without it there is nothing to do ('absent').
CREATE FUNCTION rowlock.delete_object(
    p_bucket text, p_name text, p_version_id text, p_owner_id text,
    p_if_match text, p_if_size bigint, p_if_modified timestamptz, p_bypass boolean,
    OUT outcome text, OUT version_id text, OUT is_marker boolean)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
    found_version record;
    is_conditional boolean := p_if_match IS NOT NULL OR p_if_size IS NOT NULL OR p_if_modified IS NOT NULL;
BEGIN
    is_marker := false;
    IF p_bypass THEN
        PERFORM rowlock.bypass_governance(p_bucket);
    END IF;
    FOR attempt IN 1..5 LOOP
        facts := rowlock.write_facts(p_bucket, p_name);
        IF p_version_id IS NOT NULL OR facts.versioning_status <> 'DISABLED' THEN
            PERFORM rowlock.lock_key(p_bucket, p_name);
            facts := rowlock.write_facts(p_bucket, p_name);
        END IF;
        IF p_version_id IS NOT NULL THEN
            found_version := rowlock.version_facts(p_bucket, p_name, p_version_id);
            version_id := p_version_id;
            is_marker := coalesce(found_version.is_delete_marker, false);
            IF found_version.object_id IS NULL THEN
                outcome := 'absent';
                RETURN;
            END IF;
            IF NOT rowlock.is_as_expected(
                found_version.etag, found_version.size_bytes, found_version.updated_at,
                p_if_match, p_if_size, p_if_modified)
            THEN
                outcome := CASE WHEN rowlock.sees_object(found_version.object_id) THEN 'mismatch' ELSE 'denied' END;
                RETURN;
            END IF;
            DELETE FROM storage.objects AS o
            WHERE o.id = found_version.object_id AND o.bucket_id = p_bucket AND o.name = p_name COLLATE "C"
                AND (NOT is_conditional OR o.etag IS NOT DISTINCT FROM found_version.etag);
            IF FOUND THEN
                IF found_version.is_current THEN
                    PERFORM rowlock.promote_version(p_bucket, p_name);
                END IF;
                outcome := 'deleted';
                RETURN;
            END IF;
            IF (rowlock.version_facts(p_bucket, p_name, p_version_id)).object_id = found_version.object_id THEN
                outcome := 'denied';
                RETURN;
            END IF;
            CONTINUE;
        END IF;
        IF is_conditional AND facts.object_id IS NULL THEN
            -- a delete marker has no bytes to compare
            outcome := CASE WHEN facts.marker_id IS NULL OR p_if_match = '*' THEN 'absent' ELSE 'mismatch' END;
            RETURN;
        END IF;
        IF is_conditional AND NOT rowlock.is_as_expected(
            facts.etag, facts.size_bytes, facts.updated_at, p_if_match, p_if_size, p_if_modified)
        THEN
            outcome := CASE WHEN rowlock.sees_object(facts.object_id) THEN 'mismatch' ELSE 'denied' END;
            RETURN;
        END IF;
        IF facts.versioning_status <> 'DISABLED' THEN
            IF coalesce(facts.object_id, facts.marker_id) IS NULL THEN
                IF NOT rowlock.may_insert(p_bucket, p_name, p_owner_id) THEN
                    outcome := 'absent';
                    RETURN;
                END IF;
            ELSIF NOT rowlock.may_delete(coalesce(facts.object_id, facts.marker_id)) THEN
                IF facts.object_id IS NULL THEN
                    outcome := 'absent';
                    RETURN;
                END IF;
                outcome := 'denied';
                RETURN;
            END IF;
            -- a null version beneath is destroyed for good: as the caller
            IF facts.null_id IS NOT NULL THEN
                DELETE FROM storage.objects AS o WHERE o.id = facts.null_id;
                IF NOT FOUND THEN
                    outcome := 'denied';
                    RETURN;
                END IF;
            END IF;
            IF coalesce(facts.object_id, facts.marker_id) IS NOT NULL THEN
                PERFORM rowlock.set_aside(
                    coalesce(facts.object_id, facts.marker_id), facts.versioning_status = 'ENABLED');
            END IF;
            version_id := rowlock.place_marker(
                p_bucket, p_name, p_owner_id, facts.versioning_status = 'ENABLED');
            is_marker := true;
            outcome := 'deleted';
            RETURN;
        END IF;
        IF facts.object_id IS NULL THEN
            outcome := 'absent';
            RETURN;
        END IF;
        DELETE FROM storage.objects AS o
        WHERE o.id = facts.object_id AND o.archived_at IS NULL
            AND o.bucket_id = p_bucket AND o.name = p_name COLLATE "C"
            AND (NOT is_conditional OR o.etag IS NOT DISTINCT FROM facts.etag);
        IF FOUND THEN
            outcome := 'deleted';
            RETURN;
        END IF;
        IF (rowlock.write_facts(p_bucket, p_name)).object_id = facts.object_id
            AND (rowlock.write_facts(p_bucket, p_name)).etag IS NOT DISTINCT FROM facts.etag
        THEN
            outcome := 'denied';
            RETURN;
        END IF;
    END LOOP;
    RAISE SQLSTATE 'RL008';
END
$$;

-- The same for one entry of many: what a lock or a policy's WITH CHECK refuses concerns this entry alone.
CREATE FUNCTION rowlock.delete_entry(
    p_bucket text, p_name text, p_version_id text, p_owner_id text,
    p_if_match text, p_if_size bigint, p_if_modified timestamptz, p_bypass boolean,
    OUT outcome text, OUT version_id text, OUT is_marker boolean)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    SELECT deleted.outcome, deleted.version_id, deleted.is_marker INTO outcome, version_id, is_marker
    FROM rowlock.delete_object(
        p_bucket, p_name, p_version_id, p_owner_id, p_if_match, p_if_size, p_if_modified, p_bypass) AS deleted;
EXCEPTION
    WHEN insufficient_privilege OR SQLSTATE 'RL010' THEN
        outcome := 'denied';
        version_id := p_version_id;
        is_marker := false;
END
$$;

-- Deletes many as the caller, one row for each entry in their order. Entries of a bucket that never kept versions are
-- deleted by one statement (0004); the others in the order of their names, so that two requests cannot wait for each other.
CREATE FUNCTION rowlock.delete_objects(
    p_bucket text, p_names text[], p_version_ids text[], p_owner_id text,
    p_etags text[], p_sizes bigint[], p_modified timestamptz[], p_bypass boolean)
RETURNS TABLE (ordinal bigint, outcome text, version_id text, is_marker boolean)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF rowlock.bucket_versioning(p_bucket) = 'DISABLED' AND num_nonnulls(VARIADIC p_version_ids) = 0
        AND num_nonnulls(VARIADIC p_sizes) = 0 AND num_nonnulls(VARIADIC p_modified) = 0
    THEN
        RETURN QUERY
            SELECT wanted.ordinal, done.outcome, NULL::text, false
            FROM unnest(p_names) WITH ORDINALITY AS wanted (name, ordinal)
            JOIN rowlock.delete_names(p_bucket, p_names, p_etags) AS done ON done.name = wanted.name;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT wanted.ordinal, done.outcome, done.version_id, done.is_marker
        FROM (
            SELECT * FROM ROWS FROM (
                unnest(p_names), unnest(p_version_ids), unnest(p_etags), unnest(p_sizes), unnest(p_modified)
            ) WITH ORDINALITY AS entry (name, version_id, etag, size, modified, ordinal)
            ORDER BY entry.name COLLATE "C", entry.ordinal
        ) AS wanted
        CROSS JOIN LATERAL rowlock.delete_entry(
            p_bucket, wanted.name, wanted.version_id, p_owner_id, wanted.etag, wanted.size, wanted.modified, p_bypass
        ) AS done;
END
$$;

-- The versioning status of a bucket, seen past row-level security. Raises NoSuchBucket.
CREATE FUNCTION rowlock.bucket_versioning(p_bucket text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    status text;
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT b.versioning_status INTO status FROM storage.buckets AS b WHERE b.id = p_bucket;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'RL001';
    END IF;
    RETURN status;
END
$$;

-- Sets the status as the caller, or for the bucket's owner, who configures it whatever the policies of the table say.
CREATE FUNCTION rowlock.set_versioning_as_engine(p_bucket text, p_status text, p_subject text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    UPDATE storage.buckets AS b SET versioning_status = p_status WHERE b.id = p_bucket AND b.owner_id = p_subject;
    RETURN FOUND;
END
$$;

-- 'none' and 'hidden' as bucket_visibility has them, 'visible' for a bucket the caller sees and may not change, or 'set'.
CREATE FUNCTION rowlock.set_versioning(p_bucket text, p_status text) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF p_status = 'SUSPENDED' AND rowlock.lock_configuration(p_bucket) IS NOT NULL THEN
        RAISE SQLSTATE 'RL012';
    END IF;
    UPDATE storage.buckets AS b SET versioning_status = p_status WHERE b.id = p_bucket;
    IF FOUND OR rowlock.set_versioning_as_engine(
        p_bucket, p_status, nullif(current_setting('request.jwt.claim.sub', true), ''))
    THEN
        RETURN 'set';
    END IF;
    RETURN rowlock.bucket_visibility(p_bucket);
END
$$;

-- One page of versions and common prefixes: by key, within a key the newest first. The page begins behind version
-- (p_inside, p_inside_at) of a key, where given (p_inside_at infinity: behind its current version), and at p_lower.
-- The walk is that of list_objects (0005) over two indexes: current rows, and archived ones.
CREATE FUNCTION rowlock.list_versions(
    p_bucket text, p_lower text, p_upper text, p_inside text, p_inside_at timestamptz,
    p_prefix_length integer, p_delimiter text, p_seek text, p_limit integer)
RETURNS TABLE (
    name text, is_prefix boolean, version text, is_versioned boolean, updated_at timestamptz, size_bytes bigint,
    etag text, owner_id text, checksum_algorithm text, checksum_type text, storage_class text, is_delete_marker boolean,
    is_latest boolean)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 1000
SET search_path = '' SET enable_seqscan = off SET enable_bitmapscan = off AS
$$
DECLARE
    bound text := p_lower;
    inside text := p_inside;
    inside_at timestamptz := p_inside_at;
    left_over integer := p_limit;
    -- The walk over two indexes sorts all that it reads: behind a common prefix that is for nothing but the next key.
    stretch integer := CASE WHEN p_delimiter IS NULL THEN p_limit ELSE 8 END;
    wanted integer;
    found_prefix boolean;
    seen integer;
    cut integer;
    entry record;
BEGIN
    WHILE left_over > 0 LOOP
        found_prefix := false;
        seen := 0;
        wanted := least(left_over, stretch);
        FOR entry IN
            SELECT found.* FROM (
                (SELECT o.name, o.version, o.is_versioned, o.updated_at, o.size_bytes, o.etag, o.owner_id,
                    o.checksum_algorithm, o.checksum_type, o.metadata ->> 'storageClass' AS storage_class,
                    o.is_delete_marker, o.archived_at
                FROM storage.objects AS o
                WHERE o.bucket_id = p_bucket AND o.name = inside COLLATE "C" AND o.archived_at < inside_at
                    AND o.archived_at IS NOT NULL
                ORDER BY o.archived_at DESC
                LIMIT wanted)
                UNION ALL
                (SELECT o.name, o.version, o.is_versioned, o.updated_at, o.size_bytes, o.etag, o.owner_id,
                    o.checksum_algorithm, o.checksum_type, o.metadata ->> 'storageClass' AS storage_class,
                    o.is_delete_marker, o.archived_at
                FROM storage.objects AS o
                WHERE o.bucket_id = p_bucket AND o.name >= bound COLLATE "C" AND o.name < p_upper COLLATE "C"
                    AND o.archived_at IS NULL
                ORDER BY o.name COLLATE "C"
                LIMIT wanted)
                UNION ALL
                (SELECT o.name, o.version, o.is_versioned, o.updated_at, o.size_bytes, o.etag, o.owner_id,
                    o.checksum_algorithm, o.checksum_type, o.metadata ->> 'storageClass' AS storage_class,
                    o.is_delete_marker, o.archived_at
                FROM storage.objects AS o
                WHERE o.bucket_id = p_bucket AND o.name >= bound COLLATE "C" AND o.name < p_upper COLLATE "C"
                    AND o.archived_at IS NOT NULL
                ORDER BY o.name COLLATE "C", o.archived_at DESC
                LIMIT wanted)
            ) AS found
            ORDER BY found.name COLLATE "C", found.archived_at DESC NULLS FIRST
            LIMIT wanted
        LOOP
            seen := seen + 1;
            cut := CASE WHEN p_delimiter IS NULL THEN 0
                ELSE strpos(substr(entry.name, p_prefix_length + 1), p_delimiter) END;
            IF cut > 0 THEN
                name := left(entry.name, p_prefix_length + cut + length(p_delimiter) - 1);
                bound := left(entry.name, p_prefix_length + cut - 1) || p_seek;
                inside := NULL;
                is_prefix := true;
                version := NULL; is_versioned := false; updated_at := NULL; size_bytes := 0; etag := '';
                owner_id := NULL; checksum_algorithm := NULL; checksum_type := NULL; storage_class := NULL;
                is_delete_marker := false; is_latest := false;
                left_over := left_over - 1;
                RETURN NEXT;
                found_prefix := true;
                EXIT;
            END IF;
            name := entry.name; is_prefix := false; version := entry.version; is_versioned := entry.is_versioned;
            updated_at := entry.updated_at; size_bytes := coalesce(entry.size_bytes, 0);
            etag := coalesce(entry.etag, '');
            owner_id := entry.owner_id; checksum_algorithm := entry.checksum_algorithm;
            checksum_type := entry.checksum_type; storage_class := entry.storage_class;
            is_delete_marker := entry.is_delete_marker;
            is_latest := entry.archived_at IS NULL;
            inside := entry.name;
            inside_at := coalesce(entry.archived_at, 'infinity'::timestamptz);
            bound := entry.name || chr(1);
            left_over := left_over - 1;
            RETURN NEXT;
        END LOOP;
        IF found_prefix THEN
            stretch := 1;
        ELSIF seen < wanted THEN
            RETURN;
        ELSE
            stretch := least(stretch * 8, 1000);
        END IF;
    END LOOP;
END
$$;

-- Where a version stands among those of its key; infinity for the current one, NULL for one the caller does not see.
CREATE FUNCTION rowlock.version_position(p_bucket text, p_name text, p_version_id text) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS
$$
    SELECT coalesce(
        (SELECT 'infinity'::timestamptz FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL
            AND rowlock.version_label(o.version, o.is_versioned) = p_version_id),
        (SELECT o.archived_at FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NOT NULL
            AND o.archived_version = p_version_id COLLATE "C"))
$$;

ALTER FUNCTION rowlock.promote_version(text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.succeed_version() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.set_aside(uuid, boolean) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.place_marker(text, text, text, boolean) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.version_facts(text, text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.bucket_versioning(text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.set_versioning_as_engine(text, text, text) OWNER TO rowlock_engine;
