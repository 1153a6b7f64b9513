-- Reads that somebody else answers, and what a CDN is told of changes.

-- Where reads of a bucket may be redirected: to the backend that has the bytes, or to the CDN. NULL: nowhere.
ALTER TABLE storage.buckets ADD COLUMN IF NOT EXISTS redirect text
    CONSTRAINT buckets_redirect CHECK (redirect IN ('backend', 'cdn'));

-- A redirect shows where the bytes are, so it is the operator's decision as the backend is.
CREATE FUNCTION rowlock.guard_bucket_redirect() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    IF current_user IN ('anon', 'authenticated', 's3_account') THEN
        RAISE insufficient_privilege USING MESSAGE = 'where reads of a bucket are redirected is chosen by the operator';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_redirect_insert BEFORE INSERT ON storage.buckets FOR EACH ROW
    WHEN (NEW.redirect IS NOT NULL) EXECUTE FUNCTION rowlock.guard_bucket_redirect();
CREATE TRIGGER guard_redirect_update BEFORE UPDATE OF redirect ON storage.buckets FOR EACH ROW
    WHEN (NEW.redirect IS DISTINCT FROM OLD.redirect) EXECUTE FUNCTION rowlock.guard_bucket_redirect();

CREATE FUNCTION rowlock.bucket_redirect(p_bucket text, OUT redirect text, OUT is_public boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT b.redirect, b.public INTO redirect, is_public FROM storage.buckets AS b WHERE b.id = p_bucket;
END
$$;
ALTER FUNCTION rowlock.bucket_redirect(text) OWNER TO rowlock_engine;

-- What the CDN has to forget, written in the transaction that changed it. Without a name it is all of a bucket, without a
-- bucket everything of this database.
CREATE TABLE rowlock.cdn_purges (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket_id text,
    name text COLLATE "C",
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cdn_purges_due_at ON rowlock.cdn_purges (due_at);
ALTER TABLE rowlock.cdn_purges ENABLE ROW LEVEL SECURITY;
ALTER TABLE rowlock.cdn_purges FORCE ROW LEVEL SECURITY;
GRANT ALL ON rowlock.cdn_purges TO rowlock_engine;
CREATE POLICY engine ON rowlock.cdn_purges TO rowlock_engine USING (true) WITH CHECK (true);

-- Only what everybody may read is in a shared cache, and only the current version. Tags, locks and the place of the bytes
-- are nothing that a cache keeps.
CREATE FUNCTION rowlock.purge_object() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF OLD.archived_at IS NOT NULL OR OLD.is_delete_marker THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (OLD.bucket_id, OLD.name, OLD.version, OLD.metadata, OLD.user_metadata, OLD.archived_at, OLD.is_delete_marker)
            IS NOT DISTINCT FROM
            (NEW.bucket_id, NEW.name, NEW.version, NEW.metadata, NEW.user_metadata, NEW.archived_at, NEW.is_delete_marker)
        THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO rowlock.cdn_purges (bucket_id, name)
    SELECT OLD.bucket_id, OLD.name FROM storage.buckets AS b WHERE b.id = OLD.bucket_id AND b.public;
    RETURN NULL;
END
$$;
CREATE FUNCTION rowlock.purge_bucket() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    INSERT INTO rowlock.cdn_purges (bucket_id) VALUES (OLD.id);
    RETURN NULL;
END
$$;
CREATE FUNCTION rowlock.purge_everything() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    INSERT INTO rowlock.cdn_purges DEFAULT VALUES;
    RETURN NULL;
END
$$;
ALTER FUNCTION rowlock.purge_object() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.purge_bucket() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.purge_everything() OWNER TO rowlock_engine;

CREATE TRIGGER cdn_object AFTER UPDATE OR DELETE ON storage.objects FOR EACH ROW
    EXECUTE FUNCTION rowlock.purge_object();
CREATE TRIGGER cdn_objects AFTER TRUNCATE ON storage.objects FOR EACH STATEMENT
    EXECUTE FUNCTION rowlock.purge_everything();
CREATE TRIGGER cdn_bucket_closed AFTER UPDATE OF public ON storage.buckets FOR EACH ROW
    WHEN (OLD.public AND NEW.public IS NOT TRUE) EXECUTE FUNCTION rowlock.purge_bucket();
CREATE TRIGGER cdn_bucket_deleted AFTER DELETE ON storage.buckets FOR EACH ROW
    WHEN (OLD.public) EXECUTE FUNCTION rowlock.purge_bucket();

-- Without a CDN these triggers are off, and a disabled trigger costs nothing.
ALTER TABLE storage.objects DISABLE TRIGGER cdn_object, DISABLE TRIGGER cdn_objects;
ALTER TABLE storage.buckets DISABLE TRIGGER cdn_bucket_closed, DISABLE TRIGGER cdn_bucket_deleted;

-- Turns them on or off; true if that was a change. It waits two seconds for writers, and fails then: the caller tries
-- again later. Owned by who owns the tables.
CREATE FUNCTION rowlock.follow_cdn(p_follow boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    IF p_follow = (
        SELECT t.tgenabled <> 'D' FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = 'storage.objects'::regclass AND t.tgname = 'cdn_object')
    THEN
        RETURN false;
    END IF;
    IF p_follow THEN
        ALTER TABLE storage.buckets ENABLE ALWAYS TRIGGER cdn_bucket_closed, ENABLE ALWAYS TRIGGER cdn_bucket_deleted;
        ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER cdn_object, ENABLE ALWAYS TRIGGER cdn_objects;
    ELSE
        ALTER TABLE storage.buckets DISABLE TRIGGER cdn_bucket_closed, DISABLE TRIGGER cdn_bucket_deleted;
        ALTER TABLE storage.objects DISABLE TRIGGER cdn_object, DISABLE TRIGGER cdn_objects;
    END IF;
    RETURN true;
END
$$;
