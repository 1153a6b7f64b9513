-- Listing: keys in byte order, a page costs O(page) (DESIGN §7).
--
-- The traps of reference measurements: under row-level security only leakproof operators use the index, so a prefix is
-- a range, bounds are plain parameters, and "after k" is written as ">= the least string above k", never as another
-- operator or a CASE. Bounds are computed by the caller.

-- One page with a delimiter. p_lower <= name < p_upper; p_prefix_length counts characters of the prefix; p_seek is the
-- delimiter with its last character raised by one, so that (prefix without delimiter) || p_seek is the least string
-- above every key that rolls up into that common prefix.
CREATE FUNCTION rowlock.list_objects(
    p_bucket text, p_lower text, p_upper text, p_prefix_length integer, p_delimiter text, p_seek text, p_limit integer)
RETURNS TABLE (
    name text, is_prefix boolean, updated_at timestamptz, size_bytes bigint, etag text, owner_id text,
    checksum_algorithm text, checksum_type text, storage_class text)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 1000
SET search_path = '' SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS
$$
DECLARE
    bound text := p_lower;
    left_over integer := p_limit;
    stretch integer := p_limit;
    found_prefix boolean;
    seen integer;
    cut integer;
    entry record;
BEGIN
    WHILE left_over > 0 LOOP
        found_prefix := false;
        seen := 0;
        FOR entry IN
            SELECT o.name, o.updated_at, coalesce(o.size_bytes, 0) AS size_bytes, coalesce(o.etag, '') AS etag,
                o.owner_id, o.checksum_algorithm, o.checksum_type, o.metadata ->> 'storageClass' AS storage_class
            FROM storage.objects AS o
            WHERE o.bucket_id = p_bucket AND o.name >= bound COLLATE "C" AND o.name < p_upper COLLATE "C"
                AND o.archived_at IS NULL AND NOT o.is_delete_marker
            ORDER BY o.name COLLATE "C"
            LIMIT least(left_over, stretch)
        LOOP
            seen := seen + 1;
            cut := strpos(substr(entry.name, p_prefix_length + 1), p_delimiter);
            IF cut > 0 THEN
                name := left(entry.name, p_prefix_length + cut + length(p_delimiter) - 1);
                bound := left(entry.name, p_prefix_length + cut - 1) || p_seek;
                is_prefix := true;
                updated_at := NULL; size_bytes := 0; etag := ''; owner_id := NULL;
                checksum_algorithm := NULL; checksum_type := NULL; storage_class := NULL;
                left_over := left_over - 1;
                RETURN NEXT;
                found_prefix := true;
                EXIT;
            END IF;
            name := entry.name; is_prefix := false; updated_at := entry.updated_at; size_bytes := entry.size_bytes;
            etag := entry.etag; owner_id := entry.owner_id; checksum_algorithm := entry.checksum_algorithm;
            checksum_type := entry.checksum_type; storage_class := entry.storage_class;
            bound := entry.name || chr(1);
            left_over := left_over - 1;
            RETURN NEXT;
        END LOOP;
        IF found_prefix THEN
            -- Where one common prefix was, another is likely: probe for one key, and widen again on flat stretches.
            stretch := greatest(1, seen);
        ELSIF seen < least(left_over + seen, stretch) THEN
            RETURN;
        ELSE
            stretch := least(stretch * 8, 1000);
        END IF;
    END LOOP;
END
$$;

-- One page without a delimiter: one range of the index.
CREATE FUNCTION rowlock.list_objects_flat(p_bucket text, p_lower text, p_upper text, p_limit integer)
RETURNS TABLE (
    name text, is_prefix boolean, updated_at timestamptz, size_bytes bigint, etag text, owner_id text,
    checksum_algorithm text, checksum_type text, storage_class text)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 1000
SET search_path = '' SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS
$$
BEGIN
    RETURN QUERY
        SELECT o.name, false, o.updated_at, coalesce(o.size_bytes, 0), coalesce(o.etag, ''), o.owner_id,
            o.checksum_algorithm, o.checksum_type, o.metadata ->> 'storageClass'
        FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name >= p_lower COLLATE "C" AND o.name < p_upper COLLATE "C"
            AND o.archived_at IS NULL AND NOT o.is_delete_marker
        ORDER BY o.name COLLATE "C"
        LIMIT p_limit;
END
$$;
