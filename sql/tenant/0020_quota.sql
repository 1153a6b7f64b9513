-- What a tenant may store, counted in the transaction that stores it. Without a limit nothing is counted: the triggers
-- are made and dropped by rowlock.apply_limits, which counts first what is there (gateway/metadata/quota.py). A trigger
-- that is merely disabled would still have Postgres collect its transition tables.
--
--   RL020 QuotaExceeded: storage        RL021 QuotaExceeded: open multipart uploads

CREATE TABLE rowlock.limits (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    storage_bytes bigint CHECK (storage_bytes >= 0),
    multipart_uploads bigint CHECK (multipart_uploads >= 0),
    used_bytes bigint NOT NULL DEFAULT 0
);
INSERT INTO rowlock.limits DEFAULT VALUES;
-- Not forced: the schema's owner sets the limits (apply_limits).
ALTER TABLE rowlock.limits ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON rowlock.limits TO rowlock_engine;
CREATE POLICY engine ON rowlock.limits TO rowlock_engine USING (true) WITH CHECK (true);

-- Adds to what is used; only what grows can be refused, so that a tenant above its limit can make room. The row is
-- locked until the end of the transaction: where there is a quota, writers take turns for their last statement.
CREATE FUNCTION rowlock.charge(p_bytes numeric) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    allowed bigint;
    used bigint;
BEGIN
    IF coalesce(p_bytes, 0) = 0 THEN
        RETURN;
    END IF;
    UPDATE rowlock.limits AS l SET used_bytes = l.used_bytes + p_bytes::bigint
    RETURNING l.storage_bytes, l.used_bytes INTO allowed, used;
    IF p_bytes > 0 AND used > allowed THEN
        RAISE SQLSTATE 'RL020';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION rowlock.charge(numeric) FROM public;

-- Statement triggers: one sum a statement, however many rows it has. They run as the engine, because transition tables
-- are seen by the trigger's owner.
CREATE FUNCTION rowlock.charge_objects() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    grown numeric := 0;
BEGIN
    IF tg_op <> 'DELETE' THEN
        SELECT coalesce(sum(n.size_bytes), 0) INTO grown FROM new_rows AS n;
    END IF;
    IF tg_op <> 'INSERT' THEN
        grown := grown - (SELECT coalesce(sum(o.size_bytes), 0) FROM old_rows AS o);
    END IF;
    PERFORM rowlock.charge(grown - rowlock.discharged_parts());
    RETURN NULL;
END
$$;

-- The bytes of the parts of the upload that this transaction completes (lock_upload), once. Taken off in the statement
-- that writes the object and not before: the row of the limits is locked from then on, and the key's lock comes first.
CREATE FUNCTION rowlock.discharged_parts() RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    completing text := nullif(pg_catalog.current_setting('rowlock.completing_upload', true), '');
BEGIN
    IF completing IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_catalog.set_config('rowlock.completing_upload', '', true),
        pg_catalog.set_config('rowlock.discharged_upload', completing, true);
    RETURN (
        SELECT coalesce(sum(part.size), 0) FROM storage.s3_multipart_uploads_parts AS part
        WHERE part.upload_id = completing);
END
$$;

-- Parts of open uploads. Those of an upload that is being completed were taken off when its object was counted.
CREATE FUNCTION rowlock.charge_parts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    discharged text := pg_catalog.current_setting('rowlock.discharged_upload', true);
    grown numeric := 0;
BEGIN
    IF tg_op <> 'DELETE' THEN
        SELECT coalesce(sum(n.size), 0) INTO grown FROM new_rows AS n WHERE n.upload_id IS DISTINCT FROM discharged;
    END IF;
    IF tg_op <> 'INSERT' THEN
        grown := grown - (
            SELECT coalesce(sum(o.size), 0) FROM old_rows AS o WHERE o.upload_id IS DISTINCT FROM discharged);
    END IF;
    PERFORM rowlock.charge(grown);
    RETURN NULL;
END
$$;

-- TRUNCATE has no transition tables.
CREATE FUNCTION rowlock.charge_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.charge(-(SELECT coalesce(sum(o.size_bytes), 0) FROM storage.objects AS o));
    RETURN NULL;
END
$$;

-- Open uploads, one writer at a time, or two would both be the last that fits.
CREATE FUNCTION rowlock.limit_uploads() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('rowlock open uploads', 0));
    IF (SELECT count(*) FROM storage.s3_multipart_uploads AS u WHERE u.completed_at IS NULL)
        > (SELECT l.multipart_uploads FROM rowlock.limits AS l)
    THEN
        RAISE SQLSTATE 'RL021';
    END IF;
    RETURN NULL;
END
$$;

ALTER FUNCTION rowlock.charge(numeric) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.charge_objects() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.discharged_parts() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.charge_parts() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.charge_truncate() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.limit_uploads() OWNER TO rowlock_engine;

CREATE FUNCTION rowlock.stored_bytes() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN (SELECT coalesce(sum(o.size_bytes), 0) FROM storage.objects AS o)
        + (SELECT coalesce(sum(part.size), 0) FROM storage.s3_multipart_uploads_parts AS part)
        + (SELECT coalesce(sum(p.size_bytes), 0) FROM storage.pending_uploads AS p);
END
$$;
ALTER FUNCTION rowlock.stored_bytes() OWNER TO rowlock_engine;

-- For the schema's owner, when a limit is set, changed or lifted. Waits for writers and holds them up for one sum.
CREATE FUNCTION rowlock.apply_limits(p_storage_bytes bigint, p_multipart_uploads bigint) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF EXISTS (
        SELECT FROM rowlock.limits AS l
        WHERE (l.storage_bytes, l.multipart_uploads) IS NOT DISTINCT FROM (p_storage_bytes, p_multipart_uploads))
    THEN
        RETURN;
    END IF;
    LOCK TABLE storage.objects, storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts, storage.pending_uploads
        IN ACCESS EXCLUSIVE MODE;
    DROP TRIGGER IF EXISTS charge_insert ON storage.objects;
    DROP TRIGGER IF EXISTS charge_update ON storage.objects;
    DROP TRIGGER IF EXISTS charge_delete ON storage.objects;
    DROP TRIGGER IF EXISTS charge_truncate ON storage.objects;
    DROP TRIGGER IF EXISTS charge_insert ON storage.s3_multipart_uploads_parts;
    DROP TRIGGER IF EXISTS charge_update ON storage.s3_multipart_uploads_parts;
    DROP TRIGGER IF EXISTS charge_delete ON storage.s3_multipart_uploads_parts;
    DROP TRIGGER IF EXISTS charge_insert ON storage.pending_uploads;
    DROP TRIGGER IF EXISTS charge_update ON storage.pending_uploads;
    DROP TRIGGER IF EXISTS charge_delete ON storage.pending_uploads;
    DROP TRIGGER IF EXISTS limit_uploads ON storage.s3_multipart_uploads;
    IF p_storage_bytes IS NOT NULL THEN
        CREATE TRIGGER charge_insert AFTER INSERT ON storage.objects REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_objects();
        CREATE TRIGGER charge_update AFTER UPDATE ON storage.objects
            REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_objects();
        CREATE TRIGGER charge_delete AFTER DELETE ON storage.objects REFERENCING OLD TABLE AS old_rows
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_objects();
        CREATE TRIGGER charge_truncate BEFORE TRUNCATE ON storage.objects
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_truncate();
        ALTER TABLE storage.objects
            ENABLE ALWAYS TRIGGER charge_insert, ENABLE ALWAYS TRIGGER charge_update,
            ENABLE ALWAYS TRIGGER charge_delete, ENABLE ALWAYS TRIGGER charge_truncate;
        CREATE TRIGGER charge_insert AFTER INSERT ON storage.s3_multipart_uploads_parts
            REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_parts();
        CREATE TRIGGER charge_update AFTER UPDATE ON storage.s3_multipart_uploads_parts
            REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_parts();
        CREATE TRIGGER charge_delete AFTER DELETE ON storage.s3_multipart_uploads_parts
            REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_parts();
        ALTER TABLE storage.s3_multipart_uploads_parts ENABLE ALWAYS TRIGGER charge_insert,
            ENABLE ALWAYS TRIGGER charge_update, ENABLE ALWAYS TRIGGER charge_delete;
        -- bytes that wait to be confirmed count as well, and once: a confirmation takes them off before it adds them
        CREATE TRIGGER charge_insert AFTER INSERT ON storage.pending_uploads REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_objects();
        CREATE TRIGGER charge_update AFTER UPDATE ON storage.pending_uploads
            REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_objects();
        CREATE TRIGGER charge_delete AFTER DELETE ON storage.pending_uploads REFERENCING OLD TABLE AS old_rows
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.charge_objects();
        ALTER TABLE storage.pending_uploads
            ENABLE ALWAYS TRIGGER charge_insert, ENABLE ALWAYS TRIGGER charge_update,
            ENABLE ALWAYS TRIGGER charge_delete;
    END IF;
    IF p_multipart_uploads IS NOT NULL THEN
        CREATE TRIGGER limit_uploads AFTER INSERT ON storage.s3_multipart_uploads
            FOR EACH STATEMENT EXECUTE FUNCTION rowlock.limit_uploads();
    END IF;
    UPDATE rowlock.limits AS l SET storage_bytes = p_storage_bytes, multipart_uploads = p_multipart_uploads,
        used_bytes = CASE WHEN p_storage_bytes IS NULL THEN 0 ELSE rowlock.stored_bytes() END;
END
$$;
REVOKE ALL ON FUNCTION rowlock.apply_limits(bigint, bigint) FROM public;
