-- Object lock (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html): a version under retention or
-- legal hold is neither deleted nor changed, by whatever way: a trigger of storage.objects refuses it to psql as well.
-- GOVERNANCE gives way to a request that says so (x-amz-bypass-governance-retention) by the service role or the
-- bucket's owner, COMPLIANCE to nobody before its time is over.

-- The object lock of a bucket: {"mode", "days" or "years"}, empty without a default; NULL where it is off.
CREATE FUNCTION rowlock.lock_configuration(p_bucket text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    found jsonb;
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT c.document INTO found FROM storage.bucket_configurations AS c
    WHERE c.bucket_id = p_bucket AND c.kind = 'object_lock';
    RETURN found;
END
$$;

-- What a write carries, with the bucket's default retention where it names none.
CREATE FUNCTION rowlock.with_lock(p_attributes jsonb, p_lock jsonb, p_now timestamptz) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    IF p_lock IS NULL THEN
        IF p_attributes ?| ARRAY['lock_mode', 'lock_until', 'legal_hold'] THEN
            RAISE SQLSTATE 'RL011';
        END IF;
        RETURN p_attributes;
    END IF;
    IF p_attributes ? 'lock_mode' OR NOT p_lock ? 'mode' THEN
        RETURN p_attributes;
    END IF;
    RETURN coalesce(p_attributes, '{}') || jsonb_build_object(
        'lock_mode', p_lock -> 'mode',
        'lock_until', p_now + make_interval(
            years => coalesce((p_lock ->> 'years')::integer, 0), days => coalesce((p_lock ->> 'days')::integer, 0)));
END
$$;

-- May this caller set governance aside in this bucket? If so, the rest of the transaction does.
CREATE FUNCTION rowlock.bypass_governance(p_bucket text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF current_user = 'service_role' OR rowlock.owns_bucket(
        p_bucket, nullif(current_setting('request.jwt.claim.sub', true), ''))
    THEN
        PERFORM set_config('rowlock.bypass_governance', 'on', true);
    END IF;
END
$$;

CREATE FUNCTION rowlock.owns_bucket(p_bucket text, p_subject text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN EXISTS (SELECT FROM storage.buckets AS b WHERE b.id = p_bucket AND b.owner_id = p_subject);
END
$$;

-- A setting alone is no right: any role can make one.
CREATE FUNCTION rowlock.is_governance_bypassed(p_lock_mode text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS
$$
    SELECT coalesce(
        p_lock_mode = 'GOVERNANCE' AND current_setting('rowlock.bypass_governance', true) = 'on'
            AND pg_catalog.pg_has_role(session_user, 'rowlock_gateway', 'MEMBER'),
        false)
$$;

CREATE FUNCTION rowlock.guard_lock_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    IF OLD.legal_hold
        OR (OLD.lock_until > clock_timestamp() AND NOT rowlock.is_governance_bypassed(OLD.lock_mode))
    THEN
        RAISE SQLSTATE 'RL010' USING MESSAGE = 'the version is locked';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER guard_lock_delete BEFORE DELETE ON storage.objects FOR EACH ROW
    WHEN (OLD.lock_until IS NOT NULL OR OLD.legal_hold)
    EXECUTE FUNCTION rowlock.guard_lock_delete();

-- Raises if this change is one that the lock of the row forbids. Called by the trigger before_update (0003).
CREATE FUNCTION rowlock.require_unlocked(p_old storage.objects, p_new storage.objects) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS
$$
DECLARE
    is_retained boolean := coalesce(p_old.lock_until > clock_timestamp(), false);
BEGIN
    IF p_new.version IS DISTINCT FROM p_old.version AND (p_old.is_versioned OR p_new.is_versioned)
        AND p_old.archived_at IS NULL
    THEN
        -- overwritten: keep_version archives it with its lock
        RETURN;
    END IF;
    IF (p_old.legal_hold OR is_retained)
        AND (p_new.bucket_id, p_new.name, p_new.version, p_new.is_versioned, p_new.is_delete_marker, p_new.size_bytes,
            p_new.etag, p_new.backend, p_new.blob_id, p_new.content, p_new.part_blobs, p_new.metadata,
            p_new.user_metadata)
        IS DISTINCT FROM (
            p_old.bucket_id, p_old.name, p_old.version, p_old.is_versioned, p_old.is_delete_marker, p_old.size_bytes,
            p_old.etag, p_old.backend, p_old.blob_id, p_old.content, p_old.part_blobs, p_old.metadata,
            p_old.user_metadata)
    THEN
        RAISE SQLSTATE 'RL010' USING MESSAGE = 'the version is locked';
    END IF;
    IF is_retained AND NOT rowlock.is_governance_bypassed(p_old.lock_mode)
        AND (p_new.lock_mode IS DISTINCT FROM p_old.lock_mode OR p_new.lock_until IS NULL
            OR p_new.lock_until < p_old.lock_until)
    THEN
        RAISE SQLSTATE 'RL010' USING MESSAGE = 'the retention of the version cannot be shortened';
    END IF;
END
$$;

ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER guard_lock_delete;
ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER before_update;

CREATE FUNCTION rowlock.guard_locked_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF EXISTS (SELECT FROM storage.objects AS o WHERE o.legal_hold OR o.lock_until > clock_timestamp()) THEN
        RAISE SQLSTATE 'RL010' USING MESSAGE = 'the table holds locked versions';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER guard_lock_truncate BEFORE TRUNCATE ON storage.objects FOR EACH STATEMENT
    EXECUTE FUNCTION rowlock.guard_locked_rows();
ALTER TABLE storage.objects ENABLE ALWAYS TRIGGER guard_lock_truncate;

-- A bucket with object lock keeps versions and cannot stop to.
CREATE FUNCTION rowlock.create_locked_bucket(p_bucket text, p_owner_id text, p_public boolean) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    INSERT INTO storage.buckets (id, name, owner, owner_id, public, versioning_status)
    VALUES (p_bucket, p_bucket, rowlock.subject_uuid(p_owner_id), p_owner_id, p_public, 'ENABLED');
    PERFORM rowlock.set_lock_configuration(p_bucket, '{}');
END
$$;

CREATE FUNCTION rowlock.set_lock_configuration(p_bucket text, p_document jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    INSERT INTO storage.bucket_configurations AS c (bucket_id, kind, document)
    VALUES (p_bucket, 'object_lock', p_document)
    ON CONFLICT (bucket_id, kind) DO UPDATE SET document = excluded.document, updated_at = clock_timestamp();
END
$$;

-- Sets the default retention as the caller; a bucket that keeps versions gets object lock by it. 'set', or what
-- bucket_visibility says.
CREATE FUNCTION rowlock.put_lock_configuration(p_bucket text, p_document jsonb) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF rowlock.bucket_visibility(p_bucket) = 'visible' AND rowlock.bucket_versioning(p_bucket) <> 'ENABLED' THEN
        RAISE SQLSTATE 'RL012';
    END IF;
    IF rowlock.bucket_visibility(p_bucket) <> 'visible' THEN
        RETURN rowlock.bucket_visibility(p_bucket);
    END IF;
    INSERT INTO storage.bucket_configurations AS c (bucket_id, kind, document)
    VALUES (p_bucket, 'object_lock', p_document)
    ON CONFLICT (bucket_id, kind) DO UPDATE SET document = excluded.document, updated_at = clock_timestamp();
    RETURN 'set';
END
$$;

-- Without object lock a lock could be taken off by deleting the configuration and suspending the versions.
CREATE FUNCTION rowlock.guard_lock_configuration() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF EXISTS (SELECT FROM storage.buckets AS b WHERE b.id = OLD.bucket_id) THEN
        RAISE SQLSTATE 'RL010' USING MESSAGE = 'object lock cannot be turned off';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER guard_lock_configuration BEFORE DELETE ON storage.bucket_configurations FOR EACH ROW
    WHEN (OLD.kind = 'object_lock')
    EXECUTE FUNCTION rowlock.guard_lock_configuration();

CREATE FUNCTION rowlock.guard_lock_versioning() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF EXISTS (
        SELECT FROM storage.bucket_configurations AS c WHERE c.bucket_id = OLD.id AND c.kind = 'object_lock')
    THEN
        RAISE SQLSTATE 'RL012' USING MESSAGE = 'a bucket with object lock keeps versions';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_lock_versioning BEFORE UPDATE ON storage.buckets FOR EACH ROW
    WHEN (OLD.versioning_status = 'ENABLED' AND NEW.versioning_status <> 'ENABLED')
    EXECUTE FUNCTION rowlock.guard_lock_versioning();

-- Retention or legal hold of one version, as the caller: what policies let it update, it may lock. 'set', 'absent',
-- 'marker', 'denied' or 'unversioned' (the bucket has no object lock).
CREATE FUNCTION rowlock.put_lock(
    p_bucket text, p_name text, p_version_id text, p_sets_retention boolean, p_mode text, p_until timestamptz,
    p_legal_hold boolean, p_bypass boolean) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    facts record;
    target uuid;
BEGIN
    facts := rowlock.write_facts(p_bucket, p_name);
    IF rowlock.lock_configuration(p_bucket) IS NULL THEN
        RAISE SQLSTATE 'RL011';
    END IF;
    PERFORM rowlock.lock_key(p_bucket, p_name);
    facts := rowlock.write_facts(p_bucket, p_name);
    target := facts.object_id;
    IF p_version_id IS NOT NULL THEN
        IF (rowlock.version_facts(p_bucket, p_name, p_version_id)).is_delete_marker THEN
            RETURN 'marker';
        END IF;
        target := (rowlock.version_facts(p_bucket, p_name, p_version_id)).object_id;
    ELSIF facts.marker_id IS NOT NULL THEN
        RETURN 'marker';
    END IF;
    IF target IS NULL OR NOT rowlock.sees_object(target) THEN
        RETURN 'absent';
    END IF;
    IF p_bypass THEN
        PERFORM rowlock.bypass_governance(p_bucket);
    END IF;
    UPDATE storage.objects AS o SET
        lock_mode = CASE WHEN p_sets_retention THEN p_mode ELSE o.lock_mode END,
        lock_until = CASE WHEN p_sets_retention THEN p_until ELSE o.lock_until END,
        legal_hold = CASE WHEN p_sets_retention THEN o.legal_hold ELSE p_legal_hold END,
        -- locking a version is no change of it
        updated_at = o.updated_at
    WHERE o.id = target;
    RETURN CASE WHEN FOUND THEN 'set' ELSE 'denied' END;
END
$$;

ALTER FUNCTION rowlock.lock_configuration(text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.owns_bucket(text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.guard_locked_rows() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.set_lock_configuration(text, jsonb) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.guard_lock_configuration() OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.guard_lock_versioning() OWNER TO rowlock_engine;
