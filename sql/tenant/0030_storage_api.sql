-- What the JSON API asks of the database beside S3's operations: folders sorted by name or by time, moves, and what is
-- public. Functions of schema storage are Supabase's, so that code which calls them by SQL keeps working.

-- The least string above every string that starts with this prefix; keyspace.successor says the same in Python. A
-- prefix of the greatest code points only ends nowhere: 257 of them are more bytes than a key may have.
CREATE FUNCTION rowlock.prefix_end(p_prefix text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = '' AS
$$
DECLARE
    rest text := p_prefix;
    last integer;
BEGIN
    WHILE rest <> '' LOOP
        last := ascii(right(rest, 1));
        IF last < 1114111 THEN
            RETURN left(rest, -1) || chr(CASE last WHEN 55295 THEN 57344 ELSE last + 1 END);
        END IF;
        rest := left(rest, -1);
    END LOOP;
    RETURN repeat(chr(1114111), 257);
END
$$;

-- One page by name: objects, and folders (common prefixes up to and with the delimiter) once each, in either direction.
-- p_lower <= name < p_upper; p_search keeps entries whose segment starts with it, whatever the case. A folder costs one
-- probe of the index however many objects it holds.
CREATE FUNCTION rowlock.list_entries(
    p_bucket text, p_prefix text, p_lower text, p_upper text, p_delimiter text, p_descending boolean,
    p_search text, p_skip integer, p_limit integer)
RETURNS TABLE (
    name text, is_folder boolean, id uuid, updated_at timestamptz, created_at timestamptz,
    last_accessed_at timestamptz, metadata jsonb, user_metadata jsonb)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 100
SET search_path = '' SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS
$$
DECLARE
    prefix_length integer := length(p_prefix);
    low text := p_lower;
    high text := p_upper;
    left_over integer := p_limit;
    to_skip integer := p_skip;
    stretch integer := least(p_limit::bigint + p_skip, 1000);
    seen integer;
    cut integer;
    found_folder boolean;
    wanted text := lower(p_search);
    walk refcursor;
    entry record;
BEGIN
    WHILE left_over > 0 LOOP
        seen := 0;
        found_folder := false;
        IF p_descending THEN
            OPEN walk FOR
                SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata, o.user_metadata
                FROM storage.objects AS o
                WHERE o.bucket_id = p_bucket AND o.name >= low COLLATE "C" AND o.name < high COLLATE "C"
                    AND o.archived_at IS NULL AND NOT o.is_delete_marker
                ORDER BY o.name COLLATE "C" DESC
                LIMIT stretch;
        ELSE
            OPEN walk FOR
                SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata, o.user_metadata
                FROM storage.objects AS o
                WHERE o.bucket_id = p_bucket AND o.name >= low COLLATE "C" AND o.name < high COLLATE "C"
                    AND o.archived_at IS NULL AND NOT o.is_delete_marker
                ORDER BY o.name COLLATE "C"
                LIMIT stretch;
        END IF;
        LOOP
            FETCH walk INTO entry;
            EXIT WHEN NOT FOUND;
            seen := seen + 1;
            cut := CASE WHEN p_delimiter <> '' THEN strpos(substr(entry.name, prefix_length + 1), p_delimiter) ELSE 0 END;
            IF cut > 0 THEN
                name := left(entry.name, prefix_length + cut + length(p_delimiter) - 1);
                is_folder := true;
                id := NULL; updated_at := NULL; created_at := NULL; last_accessed_at := NULL;
                metadata := NULL; user_metadata := NULL;
                found_folder := true;
                IF p_descending THEN
                    high := name;
                ELSE
                    low := rowlock.prefix_end(name);
                END IF;
            ELSE
                name := entry.name; is_folder := false; id := entry.id; updated_at := entry.updated_at;
                created_at := entry.created_at; last_accessed_at := entry.last_accessed_at;
                metadata := entry.metadata; user_metadata := entry.user_metadata;
                IF p_descending THEN
                    high := entry.name;
                ELSE
                    low := entry.name || chr(1);
                END IF;
            END IF;
            IF wanted = '' OR starts_with(lower(substr(name, prefix_length + 1)), wanted) THEN
                IF to_skip > 0 THEN
                    to_skip := to_skip - 1;
                ELSE
                    RETURN NEXT;
                    left_over := left_over - 1;
                END IF;
            END IF;
            EXIT WHEN found_folder OR left_over = 0;
        END LOOP;
        CLOSE walk;
        IF found_folder THEN
            -- where one folder was, another is likely: probe for one row, and widen again on flat stretches
            stretch := 1;
        ELSIF seen < stretch THEN
            RETURN;
        ELSE
            stretch := least(stretch * 8, 1000);
        END IF;
    END LOOP;
END
$$;

-- One page by time: the whole range is read, for no index has this order. A folder is as old as its oldest object.
CREATE FUNCTION rowlock.list_entries_by_time(
    p_bucket text, p_prefix text, p_lower text, p_upper text, p_delimiter text, p_column text, p_descending boolean,
    p_after_time timestamptz, p_after_name text, p_limit integer)
RETURNS TABLE (
    name text, is_folder boolean, id uuid, updated_at timestamptz, created_at timestamptz,
    last_accessed_at timestamptz, metadata jsonb, user_metadata jsonb)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 100 SET search_path = '' AS
$$
BEGIN
    RETURN QUERY
        WITH keyed AS (
            SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata, o.user_metadata,
                CASE WHEN p_delimiter <> ''
                    THEN strpos(substr(o.name, length(p_prefix) + 1), p_delimiter) ELSE 0 END AS cut
            FROM storage.objects AS o
            WHERE o.bucket_id = p_bucket AND o.name >= p_lower COLLATE "C" AND o.name < p_upper COLLATE "C"
                AND o.archived_at IS NULL AND NOT o.is_delete_marker
        ), entries AS (
            SELECT k.name, false AS is_folder, k.id, k.updated_at, k.created_at, k.last_accessed_at, k.metadata,
                k.user_metadata, CASE p_column WHEN 'created_at' THEN k.created_at ELSE k.updated_at END AS moment
            FROM keyed AS k WHERE k.cut = 0
            UNION ALL
            SELECT f.folder, true, NULL, f.oldest, f.oldest, NULL, NULL, NULL, f.oldest
            FROM (
                SELECT left(k.name, length(p_prefix) + k.cut + length(p_delimiter) - 1) AS folder,
                    min(k.created_at) AS oldest
                FROM keyed AS k WHERE k.cut > 0 GROUP BY 1
            ) AS f
        )
        SELECT e.name, e.is_folder, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata, e.user_metadata
        FROM entries AS e
        WHERE p_after_time IS NULL
            OR (NOT p_descending AND (e.moment, e.name COLLATE "C") > (p_after_time, p_after_name))
            OR (p_descending AND (e.moment, e.name COLLATE "C") < (p_after_time, p_after_name))
        ORDER BY
            CASE WHEN p_descending THEN NULL ELSE e.moment END,
            CASE WHEN p_descending THEN NULL ELSE e.name END COLLATE "C",
            CASE WHEN p_descending THEN e.moment END DESC,
            CASE WHEN p_descending THEN e.name END COLLATE "C" DESC
        LIMIT p_limit;
END
$$;

-- Supabase's listing of one folder: names relative to it, folders without an id. By name everything is in one order;
-- by a time the folders come first. ``levels`` is what the prefix says anyway. At most 1,500 entries.
CREATE FUNCTION storage.search(
    prefix text, bucketname text, limits integer DEFAULT 100, levels integer DEFAULT 1, offsets integer DEFAULT 0,
    search text DEFAULT '', sortcolumn text DEFAULT 'name', sortorder text DEFAULT 'asc')
RETURNS TABLE (
    name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 100 SET search_path = '' AS
$$
DECLARE
    folder text := left(coalesce(prefix, ''), length(coalesce(prefix, '')) - position('/' IN reverse(coalesce(prefix, ''))) + 1);
    wanted text;
    page_size integer := least(greatest(coalesce(limits, 100), 0), 1500);
    skipped integer := greatest(coalesce(offsets, 0), 0);
    descending boolean := lower(coalesce(sortorder, 'asc')) = 'desc';
BEGIN
    IF position('/' IN coalesce(prefix, '')) = 0 THEN
        folder := '';
    END IF;
    wanted := substr(coalesce(prefix, ''), length(folder) + 1) || coalesce(search, '');
    -- the object named as the folder itself is no entry of it
    IF coalesce(sortcolumn, 'name') NOT IN ('updated_at', 'created_at', 'last_accessed_at') THEN
        RETURN QUERY
            SELECT CASE WHEN e.is_folder THEN left(substr(e.name, length(folder) + 1), -1)
                    ELSE substr(e.name, length(folder) + 1) END,
                e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata
            FROM rowlock.list_entries(
                bucketname, folder, CASE folder WHEN '' THEN '' ELSE folder || chr(1) END, rowlock.prefix_end(folder), '/',
                descending, wanted, skipped, page_size) AS e;
        RETURN;
    END IF;
    RETURN QUERY
        WITH keyed AS (
            SELECT substr(o.name, length(folder) + 1) AS rest, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
            FROM storage.objects AS o
            WHERE o.bucket_id = bucketname AND o.name > folder COLLATE "C"
                AND o.name < rowlock.prefix_end(folder) COLLATE "C"
                AND o.archived_at IS NULL AND NOT o.is_delete_marker
        ), entries AS (
            SELECT DISTINCT split_part(k.rest, '/', 1) AS name, NULL::uuid AS id, NULL::timestamptz AS updated_at,
                NULL::timestamptz AS created_at, NULL::timestamptz AS last_accessed_at, NULL::jsonb AS metadata,
                NULL::timestamptz AS moment, 0 AS rank
            FROM keyed AS k WHERE strpos(k.rest, '/') > 0
            UNION ALL
            SELECT k.rest, k.id, k.updated_at, k.created_at, k.last_accessed_at, k.metadata,
                CASE sortcolumn WHEN 'updated_at' THEN k.updated_at WHEN 'created_at' THEN k.created_at
                    ELSE k.last_accessed_at END, 1
            FROM keyed AS k WHERE strpos(k.rest, '/') = 0
        )
        SELECT e.name, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata
        FROM entries AS e
        WHERE wanted = '' OR starts_with(lower(e.name), lower(wanted))
        ORDER BY e.rank, CASE WHEN NOT descending THEN e.moment END, CASE WHEN descending THEN e.moment END DESC,
            CASE WHEN NOT descending THEN e.name END COLLATE "C", CASE WHEN descending THEN e.name END COLLATE "C" DESC
        OFFSET skipped LIMIT page_size;
END
$$;

-- Is a bucket open to everybody's reads? NULL: there is no such bucket.
CREATE FUNCTION rowlock.is_public_bucket(p_bucket text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN (SELECT coalesce(b.public, false) FROM storage.buckets AS b WHERE b.id = p_bucket);
END
$$;

-- The id of the row that a write of the caller just made, which no SELECT policy need show to it.
CREATE FUNCTION rowlock.object_id(p_bucket text, p_name text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN (
        SELECT o.id FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL);
END
$$;

-- Changes what is given, as the caller: 'set', or what it may be told of the bucket.
CREATE FUNCTION rowlock.update_bucket(
    p_bucket text, p_public boolean, p_sets_size_limit boolean, p_file_size_limit bigint,
    p_sets_mime_types boolean, p_allowed_mime_types text[], p_versioning_status text) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    UPDATE storage.buckets AS b SET
        public = coalesce(p_public, b.public),
        file_size_limit = CASE WHEN p_sets_size_limit THEN p_file_size_limit ELSE b.file_size_limit END,
        allowed_mime_types = CASE WHEN p_sets_mime_types THEN p_allowed_mime_types ELSE b.allowed_mime_types END,
        versioning_status = coalesce(p_versioning_status, b.versioning_status)
    WHERE b.id = p_bucket;
    IF FOUND THEN
        RETURN 'set';
    END IF;
    RETURN rowlock.bucket_visibility(p_bucket);
END
$$;

-- Gives an object another name, as the caller: one UPDATE, the bytes stay where they are. ``outcome``: 'moved'; 'absent'
-- (no such object, or none the caller sees); 'versions' (a bucket keeps versions, so that the move is a copy and a
-- delete marker instead). A name that is taken is the unique index's to refuse, after the policies.
CREATE FUNCTION rowlock.move_object(
    p_bucket text, p_name text, p_to_bucket text, p_to_name text, OUT outcome text, OUT object_id uuid)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    source record;
    target record;
    size bigint;
    mime_type text;
BEGIN
    -- in one order, so that two moves cannot wait for each other
    IF (p_bucket, p_name) < (p_to_bucket, p_to_name) THEN
        PERFORM rowlock.lock_key(p_bucket, p_name);
        PERFORM rowlock.lock_key(p_to_bucket, p_to_name);
    ELSE
        PERFORM rowlock.lock_key(p_to_bucket, p_to_name);
        PERFORM rowlock.lock_key(p_bucket, p_name);
    END IF;
    source := rowlock.write_facts(p_bucket, p_name);
    target := rowlock.write_facts(p_to_bucket, p_to_name);
    SELECT o.size_bytes, o.metadata ->> 'mimetype' INTO size, mime_type
    FROM storage.objects AS o WHERE o.id = source.object_id;
    IF NOT FOUND THEN
        outcome := 'absent';
        RETURN;
    END IF;
    PERFORM rowlock.require_limits(size, mime_type, target.file_size_limit, target.allowed_mime_types, p_to_name);
    IF source.versioning_status <> 'DISABLED' OR target.versioning_status <> 'DISABLED' THEN
        outcome := 'versions';
        RETURN;
    END IF;
    UPDATE storage.objects AS o SET bucket_id = p_to_bucket, name = p_to_name
    WHERE o.id = source.object_id AND o.bucket_id = p_bucket AND o.name = p_name COLLATE "C"
    RETURNING o.id INTO object_id;
    IF NOT FOUND THEN
        RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role move the object';
    END IF;
    outcome := 'moved';
END
$$;

-- Deletes up to p_limit objects of a bucket that were there at a moment, as the caller, archived versions first (so that
-- none becomes current again); returns how many.
CREATE FUNCTION rowlock.empty_bucket(p_bucket text, p_until timestamptz, p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    deleted integer;
BEGIN
    DELETE FROM storage.objects AS o WHERE o.id IN (
        SELECT a.id FROM storage.objects AS a
        WHERE a.bucket_id = p_bucket AND a.archived_at IS NOT NULL AND a.created_at <= p_until
        ORDER BY a.name COLLATE "C" LIMIT p_limit);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted = 0 THEN
        DELETE FROM storage.objects AS o WHERE o.id IN (
            SELECT a.id FROM storage.objects AS a
            WHERE a.bucket_id = p_bucket AND a.archived_at IS NULL AND a.created_at <= p_until
            ORDER BY a.name COLLATE "C" LIMIT p_limit);
        GET DIAGNOSTICS deleted = ROW_COUNT;
    END IF;
    RETURN deleted;
END
$$;

ALTER FUNCTION rowlock.is_public_bucket(text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.object_id(text, text) OWNER TO rowlock_engine;
