-- Tags of objects, and taking configurations of buckets away. Both as the caller; a refusal is never silent.

-- Is this exactly the row a caller was shown, seen past row-level security?
CREATE FUNCTION rowlock.is_current_row(p_id uuid, p_version text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN EXISTS (SELECT FROM storage.objects AS o WHERE o.id = p_id AND coalesce(o.version, '') = p_version);
END
$$;

CREATE FUNCTION rowlock.write_tags(p_id uuid, p_tags jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    UPDATE storage.objects AS o SET tags = p_tags WHERE o.id = p_id AND o.tags IS DISTINCT FROM p_tags;
END
$$;

-- Gives the row the caller was shown other tags; false when it was replaced or deleted since.
CREATE FUNCTION rowlock.replace_tags(p_id uuid, p_version text, p_tags jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    PERFORM FROM storage.objects AS o WHERE o.id = p_id AND coalesce(o.version, '') = p_version FOR UPDATE;
    IF FOUND THEN
        IF current_user = 's3_account' THEN
            -- S3's rules ask for the tags an object has, not for those it will have
            PERFORM rowlock.write_tags(p_id, p_tags);
        ELSE
            UPDATE storage.objects AS o SET tags = p_tags WHERE o.id = p_id AND o.tags IS DISTINCT FROM p_tags;
        END IF;
        RETURN true;
    END IF;
    IF rowlock.is_current_row(p_id, p_version) THEN
        RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role change the tags of the object';
    END IF;
    RETURN false;
END
$$;

CREATE FUNCTION rowlock.configuration_exists(p_bucket text, p_kind text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN EXISTS (SELECT FROM storage.bucket_configurations AS c WHERE c.bucket_id = p_bucket AND c.kind = p_kind);
END
$$;

-- Deletes as the caller; false when there was none.
CREATE FUNCTION rowlock.delete_configuration(p_bucket text, p_kind text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    DELETE FROM storage.bucket_configurations AS c WHERE c.bucket_id = p_bucket AND c.kind = p_kind;
    IF FOUND THEN
        RETURN true;
    END IF;
    IF rowlock.configuration_exists(p_bucket, p_kind) THEN
        RAISE insufficient_privilege USING MESSAGE = 'no policy lets this role configure the bucket';
    END IF;
    RETURN false;
END
$$;

ALTER FUNCTION rowlock.write_tags(uuid, jsonb) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.is_current_row(uuid, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.configuration_exists(text, text) OWNER TO rowlock_engine;
