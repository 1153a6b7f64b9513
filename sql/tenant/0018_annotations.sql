-- Annotations: named texts of up to 1 MiB that belong to one version of an object
-- (https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html).
--
-- Policies on storage.objects govern: who may read the object may read its annotations, who may change it may write
-- them. Under S3's own model (0016) both are asked as actions of their own (s3:GetObjectAnnotation and its kin).
--
-- storage.objects.is_annotated says that a row has or had annotations. Triggers look for it, so that rows without pay
-- nothing: a foreign key would ask here for every row that is deleted.

CREATE TABLE IF NOT EXISTS storage.object_annotations (
    object_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 512),
    -- encrypted as the object is, under a key of its own; size, ETag and checksum are those of the text
    payload bytea NOT NULL,
    size_bytes integer NOT NULL CHECK (size_bytes BETWEEN 1 AND 1048576),
    etag text NOT NULL,
    checksum_algorithm text,
    checksum_value text,
    encryption jsonb,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (object_id, name)
);
ALTER TABLE storage.object_annotations ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.object_annotations FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON storage.object_annotations TO anon, authenticated, s3_account;
GRANT ALL ON storage.object_annotations TO service_role, rowlock_engine;

-- May the caller change this object? The row stays locked for the rest of the transaction.
CREATE FUNCTION rowlock.may_annotate(p_object uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    PERFORM FROM storage.objects AS o WHERE o.id = p_object FOR NO KEY UPDATE;
    RETURN FOUND;
END
$$;

CREATE POLICY rowlock_full_rights ON storage.object_annotations TO service_role, rowlock_engine
    USING (true) WITH CHECK (true);
CREATE POLICY rowlock_as_object_select ON storage.object_annotations FOR SELECT TO anon, authenticated, s3_account
    USING (EXISTS (SELECT FROM storage.objects AS o WHERE o.id = object_id));
CREATE POLICY rowlock_as_object_insert ON storage.object_annotations FOR INSERT TO anon, authenticated, s3_account
    WITH CHECK (rowlock.may_annotate(object_id));
CREATE POLICY rowlock_as_object_update ON storage.object_annotations FOR UPDATE TO anon, authenticated, s3_account
    USING (rowlock.may_annotate(object_id)) WITH CHECK (rowlock.may_annotate(object_id));
CREATE POLICY rowlock_as_object_delete ON storage.object_annotations FOR DELETE TO anon, authenticated, s3_account
    USING (rowlock.may_annotate(object_id));

-- Makes room for an annotation: an object has at most 1,000.
CREATE FUNCTION rowlock.admit_annotation(p_object uuid, p_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    IF (SELECT count(*) FROM storage.object_annotations AS a
        WHERE a.object_id = p_object AND a.name <> p_name COLLATE "C") >= 1000
    THEN
        RAISE SQLSTATE 'RL015';
    END IF;
    UPDATE storage.objects AS o SET is_annotated = true WHERE o.id = p_object AND o.is_annotated IS NOT TRUE;
END
$$;

CREATE FUNCTION rowlock.is_object_locked(p_object uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN EXISTS (
        SELECT FROM storage.objects AS o
        WHERE o.id = p_object
            AND (o.legal_hold
                OR (o.lock_until > clock_timestamp() AND NOT rowlock.is_governance_bypassed(o.lock_mode))));
END
$$;

-- Annotations are written by the gateway's login only, which vouches for size, ETag and encryption. What a locked
-- version is annotated with is neither changed nor removed; there may be more of it.
CREATE FUNCTION rowlock.guard_annotation() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    -- the engine moves, copies and removes them with their objects
    IF current_user <> 'rowlock_engine' THEN
        PERFORM rowlock.require_gateway();
        IF TG_OP = 'INSERT' THEN
            PERFORM rowlock.admit_annotation(NEW.object_id, NEW.name);
        ELSIF rowlock.is_object_locked(OLD.object_id) THEN
            RAISE SQLSTATE 'RL010' USING MESSAGE = 'the version is locked';
        END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_annotation BEFORE INSERT OR UPDATE OR DELETE ON storage.object_annotations FOR EACH ROW
    EXECUTE FUNCTION rowlock.guard_annotation();

-- Called by the triggers of storage.objects (0003, 0010), as the engine.
CREATE FUNCTION rowlock.forget_annotations(p_object uuid) RETURNS void
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS
$$ DELETE FROM storage.object_annotations AS a WHERE a.object_id = p_object $$;

CREATE FUNCTION rowlock.move_annotations(p_from uuid, p_to uuid) RETURNS void
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS
$$ UPDATE storage.object_annotations AS a SET object_id = p_to WHERE a.object_id = p_from $$;

-- What the gateway asks. Each names the row the caller was shown and its version: NULL, or no row, says that another
-- took its place meanwhile. ----------------------------------------------------------------------------------------

-- Writes one as the caller; says when.
CREATE FUNCTION rowlock.put_annotation(
    p_object uuid, p_version text, p_if_match text, p_name text, p_payload bytea, p_size integer, p_etag text,
    p_checksum_algorithm text, p_checksum_value text, p_encryption jsonb) RETURNS timestamptz
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    IF NOT rowlock.may_annotate_version(p_object, p_version, p_if_match) THEN
        RETURN NULL;
    END IF;
    INSERT INTO storage.object_annotations AS a (
        object_id, name, payload, size_bytes, etag, checksum_algorithm, checksum_value, encryption, updated_at)
    VALUES (
        p_object, p_name, p_payload, p_size, p_etag, p_checksum_algorithm, p_checksum_value, p_encryption, moment)
    ON CONFLICT (object_id, name) DO UPDATE SET
        payload = excluded.payload, size_bytes = excluded.size_bytes, etag = excluded.etag,
        checksum_algorithm = excluded.checksum_algorithm, checksum_value = excluded.checksum_value,
        encryption = excluded.encryption, updated_at = excluded.updated_at;
    RETURN moment;
END
$$;

-- Deletes one as the caller; there need not be one.
CREATE FUNCTION rowlock.delete_annotation(
    p_bucket text, p_object uuid, p_version text, p_if_match text, p_name text, p_bypass boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF NOT rowlock.may_annotate_version(p_object, p_version, p_if_match) THEN
        RETURN NULL;
    END IF;
    IF p_bypass THEN
        PERFORM rowlock.bypass_governance(p_bucket);
    END IF;
    DELETE FROM storage.object_annotations AS a WHERE a.object_id = p_object AND a.name = p_name COLLATE "C";
    RETURN FOUND;
END
$$;

-- Holds the row for the rest of the transaction; false when it is another version by now. Raises for a caller who may
-- not change it, and for another ETag than expected.
CREATE FUNCTION rowlock.may_annotate_version(p_object uuid, p_version text, p_if_match text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    found_etag text;
BEGIN
    SELECT o.etag INTO found_etag FROM storage.objects AS o
    WHERE o.id = p_object AND coalesce(o.version, '') = p_version
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        IF rowlock.is_current_row(p_object, p_version) THEN
            RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role annotate the object';
        END IF;
        RETURN false;
    END IF;
    IF p_if_match <> '*' AND p_if_match IS DISTINCT FROM found_etag THEN
        RAISE SQLSTATE 'RL003' USING DETAIL = 'x-amz-object-if-match';
    END IF;
    RETURN true;
END
$$;

-- Copies. The annotations of the source are taken before the target is written, which may be the same key, and wait
-- under an id that no object has; all in one transaction. p_request: what S3's model is to be asked instead of the
-- request's own action (rowlock.s3_request); empty for roles it does not bind.
CREATE FUNCTION rowlock.take_annotations(p_source uuid, p_version text, p_request text) RETURNS uuid
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    asked constant text := coalesce(current_setting('rowlock.s3_request', true), '');
    readable boolean;
BEGIN
    PERFORM set_config('rowlock.s3_request', p_request, true);
    PERFORM FROM storage.objects AS o WHERE o.id = p_source AND coalesce(o.version, '') = p_version;
    readable := FOUND;
    PERFORM set_config('rowlock.s3_request', asked, true);
    IF readable THEN
        RETURN rowlock.copy_annotations(p_source);
    ELSIF rowlock.is_current_row(p_source, p_version) THEN
        RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role read the annotations of the source';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION rowlock.copy_annotations(p_source uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    taken constant uuid := gen_random_uuid();
BEGIN
    PERFORM rowlock.require_gateway();
    INSERT INTO storage.object_annotations (
        object_id, name, payload, size_bytes, etag, checksum_algorithm, checksum_value, encryption)
    SELECT taken, a.name, a.payload, a.size_bytes, a.etag, a.checksum_algorithm, a.checksum_value, a.encryption
    FROM storage.object_annotations AS a WHERE a.object_id = p_source;
    RETURN taken;
END
$$;

-- The next one taken, in the order of names, to be encrypted as its new object is.
CREATE FUNCTION rowlock.next_taken_annotation(
    p_taken uuid, p_after text, OUT name text, OUT payload bytea, OUT size_bytes integer, OUT encryption jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT a.name, a.payload, a.size_bytes, a.encryption INTO name, payload, size_bytes, encryption
    FROM storage.object_annotations AS a
    WHERE a.object_id = p_taken AND a.name > p_after COLLATE "C"
    ORDER BY a.name LIMIT 1;
END
$$;

CREATE FUNCTION rowlock.replace_taken_annotation(p_taken uuid, p_name text, p_payload bytea, p_encryption jsonb)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    UPDATE storage.object_annotations AS a SET payload = p_payload, encryption = p_encryption
    WHERE a.object_id = p_taken AND a.name = p_name COLLATE "C"
        AND NOT EXISTS (SELECT FROM storage.objects AS o WHERE o.id = p_taken);
END
$$;

-- Gives what was taken to the object that was just written. Who wrote it may annotate it; S3's model wants to be asked.
CREATE FUNCTION rowlock.give_annotations(
    p_taken uuid, p_bucket text, p_name text, p_version text, p_request text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    asked constant text := coalesce(current_setting('rowlock.s3_request', true), '');
    writable boolean;
BEGIN
    IF p_request <> '' THEN
        PERFORM set_config('rowlock.s3_request', p_request, true);
        PERFORM FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL AND o.version = p_version
        FOR NO KEY UPDATE;
        writable := FOUND;
        PERFORM set_config('rowlock.s3_request', asked, true);
        IF NOT writable THEN
            RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role annotate the object';
        END IF;
    END IF;
    PERFORM rowlock.place_annotations(p_taken, p_bucket, p_name, p_version);
END
$$;

CREATE FUNCTION rowlock.place_annotations(p_taken uuid, p_bucket text, p_name text, p_version text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    target uuid;
BEGIN
    PERFORM rowlock.require_gateway();
    UPDATE storage.objects AS o SET is_annotated = true
    WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL AND o.version = p_version
    RETURNING o.id INTO STRICT target;
    PERFORM rowlock.move_annotations(p_taken, target);
END
$$;

ALTER FUNCTION rowlock.admit_annotation(uuid, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.is_object_locked(uuid) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.copy_annotations(uuid) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.next_taken_annotation(uuid, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.replace_taken_annotation(uuid, text, bytea, jsonb) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.place_annotations(uuid, text, text, text) OWNER TO rowlock_engine;
