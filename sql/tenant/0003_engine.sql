-- Schema rowlock: epochs of the processes that write blobs, the garbage that waits for its grace period, and the
-- triggers that make every way of changing storage.objects safe, psql included (DESIGN §5).

-- One row for each life of a process that writes blobs. A blob's id starts with its epoch; what a dead epoch left
-- behind is found by listing that prefix.
CREATE TABLE rowlock.epochs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host text NOT NULL,
    process_id integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    dead_at timestamptz,
    swept_at timestamptz
);

CREATE TABLE rowlock.garbage (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backend text NOT NULL,
    blob_id text NOT NULL UNIQUE,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_until timestamptz,
    -- no row ever named it: its writer lost the connection and gave up (rowlock.abandon_blobs)
    abandoned boolean NOT NULL DEFAULT false,
    -- kept for a while after the bytes are gone, so that a late repetition of the write is recognised as one
    destroyed_at timestamptz
);
CREATE INDEX garbage_released_at ON rowlock.garbage (released_at) WHERE destroyed_at IS NULL;
CREATE INDEX garbage_destroyed_at ON rowlock.garbage (destroyed_at) WHERE destroyed_at IS NOT NULL;

ALTER TABLE rowlock.epochs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rowlock.epochs FORCE ROW LEVEL SECURITY;
ALTER TABLE rowlock.garbage ENABLE ROW LEVEL SECURITY;
ALTER TABLE rowlock.garbage FORCE ROW LEVEL SECURITY;
GRANT ALL ON rowlock.epochs, rowlock.garbage TO rowlock_engine;
CREATE POLICY engine ON rowlock.epochs TO rowlock_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON rowlock.garbage TO rowlock_engine USING (true) WITH CHECK (true);

-- Functions that look past row-level security serve the gateway's login only; a role that reaches this database by
-- another login is refused. session_user cannot be changed by SET ROLE.
CREATE FUNCTION rowlock.require_gateway() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    IF NOT pg_catalog.pg_has_role(session_user, 'rowlock_gateway', 'MEMBER') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the gateway may call this function';
    END IF;
END
$$;

-- The columns that say where bytes are and how they are encrypted, which version a row is and how it is locked belong to
-- the gateway: a role with UPDATE on its own row must not point it at somebody else's blob, nor at none, nor take a lock off.
--
-- One trigger a kind of statement, and no WHEN clause that is longer than a few columns: Postgres parses it again each
-- time the statement begins, which costs more than the call of a function (measured: 25 µs for a row of thirteen).
CREATE FUNCTION rowlock.before_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    IF NOT pg_catalog.pg_has_role(session_user, 'rowlock_gateway', 'MEMBER')
        AND (NEW.blob_id IS NOT NULL OR NEW.content IS NOT NULL OR NEW.part_blobs IS NOT NULL
            OR NEW.size_bytes IS NOT NULL OR NEW.archived_at IS NOT NULL OR NEW.is_versioned OR NEW.is_delete_marker
            OR NEW.lock_mode IS NOT NULL OR NEW.lock_until IS NOT NULL OR NEW.legal_hold
            OR NEW.encryption IS NOT NULL OR NEW.is_annotated)
    THEN
        PERFORM rowlock.require_gateway();
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER before_insert BEFORE INSERT ON storage.objects FOR EACH ROW EXECUTE FUNCTION rowlock.before_insert();

-- updated_at is the object's Last-Modified, which the gateway sets itself. Archiving a version is no change of it, nor
-- are its tags, its ACL, its lock and its annotations; what takes its place begins without annotations.
CREATE FUNCTION rowlock.before_update() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
DECLARE
    is_gateway boolean := pg_catalog.pg_has_role(session_user, 'rowlock_gateway', 'MEMBER');
    -- The same bytes in another place (rowlock.move_object): neither a change of the object nor forbidden by its lock.
    is_move boolean := current_user = 'rowlock_engine' AND is_gateway
        AND (NEW.blob_id, NEW.part_blobs) IS DISTINCT FROM (OLD.blob_id, OLD.part_blobs)
        AND (NEW.version, NEW.etag, NEW.size_bytes, NEW.part_sizes)
            IS NOT DISTINCT FROM (OLD.version, OLD.etag, OLD.size_bytes, OLD.part_sizes);
BEGIN
    -- the engine itself acts for other logins where a trigger makes another version current
    IF NOT is_gateway AND current_user <> 'rowlock_engine'
        AND (NEW.blob_id, NEW.content, NEW.part_blobs, NEW.part_sizes, NEW.size_bytes, NEW.etag, NEW.backend,
            NEW.archived_at, NEW.is_versioned, NEW.is_delete_marker, NEW.lock_mode, NEW.lock_until, NEW.legal_hold,
            NEW.encryption, NEW.is_annotated)
        IS DISTINCT FROM (
            OLD.blob_id, OLD.content, OLD.part_blobs, OLD.part_sizes, OLD.size_bytes, OLD.etag, OLD.backend,
            OLD.archived_at, OLD.is_versioned, OLD.is_delete_marker, OLD.lock_mode, OLD.lock_until, OLD.legal_hold,
            OLD.encryption, OLD.is_annotated)
    THEN
        PERFORM rowlock.require_gateway();
    END IF;
    IF is_move THEN
        RETURN NEW;
    END IF;
    IF OLD.lock_until IS NOT NULL OR OLD.legal_hold THEN
        PERFORM rowlock.require_unlocked(OLD, NEW);
    END IF;
    IF (NOT is_gateway OR OLD.updated_at IS NOT DISTINCT FROM NEW.updated_at)
        AND OLD.archived_at IS NOT DISTINCT FROM NEW.archived_at
        AND ((OLD.tags, OLD.acl, OLD.lock_mode, OLD.lock_until, OLD.legal_hold, OLD.is_annotated)
                IS NOT DISTINCT FROM (NEW.tags, NEW.acl, NEW.lock_mode, NEW.lock_until, NEW.legal_hold, NEW.is_annotated)
            OR (OLD.version, OLD.metadata, OLD.user_metadata)
                IS DISTINCT FROM (NEW.version, NEW.metadata, NEW.user_metadata))
    THEN
        NEW.updated_at := clock_timestamp();
    END IF;
    IF OLD.is_annotated AND NEW.version IS DISTINCT FROM OLD.version THEN
        NEW.is_annotated := NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER before_update BEFORE UPDATE ON storage.objects FOR EACH ROW EXECUTE FUNCTION rowlock.before_update();

-- Whoever removes or replaces a row's bytes, in whatever way, leaves the blobs to the sweeper in the same transaction.
-- A row that came back from a backup may name a blob that is garbage already: its grace period begins anew.
CREATE FUNCTION rowlock.release_blobs(p_backend text, p_blob_id text, p_part_blobs text[]) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF p_blob_id IS NOT NULL THEN
        INSERT INTO rowlock.garbage (backend, blob_id) VALUES (p_backend, p_blob_id)
        ON CONFLICT (blob_id) DO UPDATE SET released_at = excluded.released_at;
    END IF;
    IF p_part_blobs IS NOT NULL THEN
        INSERT INTO rowlock.garbage (backend, blob_id)
        SELECT p_backend, part FROM unnest(p_part_blobs) AS part
        ON CONFLICT (blob_id) DO UPDATE SET released_at = excluded.released_at;
    END IF;
END
$$;

CREATE FUNCTION rowlock.after_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.release_blobs(OLD.backend, OLD.blob_id, OLD.part_blobs);
    IF OLD.is_annotated THEN
        PERFORM rowlock.forget_annotations(OLD.id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER after_delete AFTER DELETE ON storage.objects FOR EACH ROW
    WHEN (OLD.blob_id IS NOT NULL OR OLD.part_blobs IS NOT NULL OR OLD.is_annotated)
    EXECUTE FUNCTION rowlock.after_delete();

CREATE FUNCTION rowlock.after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF (OLD.is_versioned OR NEW.is_versioned) AND OLD.version IS DISTINCT FROM NEW.version THEN
        PERFORM rowlock.keep_version(OLD, NEW.is_versioned);
        RETURN NULL;
    END IF;
    IF (OLD.blob_id, OLD.part_blobs) IS DISTINCT FROM (NEW.blob_id, NEW.part_blobs) THEN
        PERFORM rowlock.release_blobs(OLD.backend, OLD.blob_id, OLD.part_blobs);
    END IF;
    IF OLD.is_annotated AND NEW.is_annotated IS NULL THEN
        PERFORM rowlock.forget_annotations(OLD.id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER after_update AFTER UPDATE ON storage.objects FOR EACH ROW
    WHEN (OLD.blob_id IS NOT NULL OR OLD.part_blobs IS NOT NULL OR OLD.is_versioned OR NEW.is_versioned
        OR OLD.is_annotated)
    EXECUTE FUNCTION rowlock.after_update();

CREATE FUNCTION rowlock.release_all_bytes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    INSERT INTO rowlock.garbage (backend, blob_id)
    SELECT o.backend, held.blob
    FROM storage.objects AS o
    CROSS JOIN LATERAL unnest(o.part_blobs || o.blob_id) AS held (blob)
    WHERE held.blob IS NOT NULL
    ON CONFLICT (blob_id) DO NOTHING;
    DELETE FROM storage.object_annotations;
    RETURN NULL;
END
$$;
CREATE TRIGGER release_bytes_truncate BEFORE TRUNCATE ON storage.objects FOR EACH STATEMENT
    EXECUTE FUNCTION rowlock.release_all_bytes();

CREATE FUNCTION rowlock.release_part() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    INSERT INTO rowlock.garbage (backend, blob_id) VALUES (OLD.backend, OLD.blob_id) ON CONFLICT (blob_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER release_part_delete AFTER DELETE ON storage.s3_multipart_uploads_parts FOR EACH ROW
    WHEN (OLD.blob_id IS NOT NULL AND NOT OLD.adopted)
    EXECUTE FUNCTION rowlock.release_part();
CREATE TRIGGER release_part_update AFTER UPDATE ON storage.s3_multipart_uploads_parts FOR EACH ROW
    WHEN (OLD.blob_id IS NOT NULL AND OLD.blob_id IS DISTINCT FROM NEW.blob_id)
    EXECUTE FUNCTION rowlock.release_part();

-- A confirmed upload's bytes are an object's now.
CREATE TRIGGER release_pending_delete AFTER DELETE ON storage.pending_uploads FOR EACH ROW
    WHEN (OLD.blob_id IS NOT NULL)
    EXECUTE FUNCTION rowlock.release_part();
CREATE TRIGGER release_pending_update AFTER UPDATE ON storage.pending_uploads FOR EACH ROW
    WHEN (OLD.blob_id IS NOT NULL AND OLD.blob_id IS DISTINCT FROM NEW.blob_id AND NEW.state <> 'confirmed')
    EXECUTE FUNCTION rowlock.release_part();

-- Triggers fire for everybody, also where a restore has set session_replication_role.
ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER after_delete;
ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER after_update;
ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER release_bytes_truncate;
ALTER TABLE storage.pending_uploads ENABLE ALWAYS TRIGGER release_pending_delete;

ALTER FUNCTION rowlock.after_delete() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.after_update() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.release_all_bytes() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.release_part() OWNER TO rowlock_engine;
