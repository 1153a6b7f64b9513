-- Confirmed uploads: bytes come by a signed URL and wait in storage.pending_uploads; a confirmation makes them an object in
-- one transaction, without touching them. What decides is the dry run when the URL is signed and the real write at the
-- confirmation, both as the caller. A row's id is a secret of 122 bits, so knowing it shows that the caller was told.

-- May these bytes come? Asked before they are read: 'open', 'used' (the token was used), or 'full' (p_limit wait already;
-- uploads of the same moment may exceed it by as many as they are).
CREATE FUNCTION rowlock.probe_pending_upload(
    p_id uuid, p_bucket text, p_name text, p_mime_type text, p_size bigint, p_limit integer,
    OUT outcome text, OUT default_encryption jsonb, OUT file_size_limit bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    facts record;
BEGIN
    PERFORM rowlock.require_gateway();
    facts := rowlock.write_facts(p_bucket, p_name);
    PERFORM rowlock.require_limits(p_size, p_mime_type, facts.file_size_limit, facts.allowed_mime_types, p_name);
    default_encryption := facts.default_encryption;
    file_size_limit := facts.file_size_limit;
    outcome := CASE
        WHEN EXISTS (SELECT FROM storage.pending_uploads AS p WHERE p.id = p_id) THEN 'used'
        WHEN p_limit <= (
            SELECT count(*) FROM (
                SELECT FROM storage.pending_uploads AS p
                WHERE p.state = 'pending' AND p.expires_at > clock_timestamp()
                LIMIT p_limit
            ) AS waiting)
        THEN 'full'
        ELSE 'open'
    END;
END
$$;

-- Records an upload whose bytes are durable: 'stored', 'used' or 'expired'. A repetition of a write that took effect
-- changes nothing; p_version is fresh for every upload.
CREATE FUNCTION rowlock.record_pending_upload(
    p_id uuid, p_bucket text, p_name text, p_owner_id text, p_upsert boolean, p_expires_at timestamptz, p_version text,
    p_metadata jsonb, p_user_metadata jsonb, p_epoch integer, p_backend text, p_blob_id text, p_content bytea,
    p_size bigint, p_etag text, p_checksum_algorithm text, p_checksum_type text, p_checksum_value text,
    p_attributes jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    facts record;
    found_version text;
BEGIN
    PERFORM rowlock.require_gateway();
    IF p_epoch IS NOT NULL THEN
        PERFORM rowlock.admit_blob(p_epoch, p_blob_id);
    END IF;
    PERFORM rowlock.lock_key('rowlock pending upload', p_id::text);
    SELECT p.version INTO found_version FROM storage.pending_uploads AS p WHERE p.id = p_id;
    IF FOUND THEN
        RETURN CASE found_version WHEN p_version THEN 'stored' ELSE 'used' END;
    END IF;
    IF p_expires_at <= clock_timestamp() THEN
        RETURN 'expired';
    END IF;
    facts := rowlock.write_facts(p_bucket, p_name);
    PERFORM rowlock.require_limits(
        p_size, p_metadata ->> 'mimetype', facts.file_size_limit, facts.allowed_mime_types, p_name);
    INSERT INTO storage.pending_uploads (
        id, bucket_id, name, owner_id, upsert, expires_at, version, metadata, user_metadata, backend, blob_id, content,
        size_bytes, etag, checksum_algorithm, checksum_type, checksum_value, attributes)
    VALUES (
        p_id, p_bucket, p_name, p_owner_id, p_upsert, p_expires_at, p_version, p_metadata, p_user_metadata, p_backend,
        p_blob_id, p_content, p_size, p_etag, p_checksum_algorithm, p_checksum_type, p_checksum_value, p_attributes);
    RETURN 'stored';
END
$$;

-- The upload with this id, should it wait for its confirmation and belong to this name.
CREATE FUNCTION rowlock.pending_upload(p_id uuid, p_bucket text, p_name text) RETURNS SETOF storage.pending_uploads
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' ROWS 1 AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN QUERY
        SELECT p.* FROM storage.pending_uploads AS p
        WHERE p.id = p_id AND p.bucket_id = p_bucket AND p.name = p_name COLLATE "C" AND p.state = 'pending'
            AND p.expires_at > clock_timestamp();
END
$$;

-- Ends the waiting of an upload and returns the row as it was; its bytes are the caller's to give away. A row that is
-- not waiting is returned unchanged, and none that is another name's or has expired.
CREATE FUNCTION rowlock.take_pending_upload(
    p_id uuid, p_bucket text, p_name text, p_state text, p_confirmation uuid) RETURNS storage.pending_uploads
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    pending storage.pending_uploads;
BEGIN
    PERFORM rowlock.require_gateway();
    -- looked at again once the lock is held: it may have been taken, or have expired, meanwhile
    SELECT p.* INTO pending FROM storage.pending_uploads AS p
    WHERE p.id = p_id AND p.bucket_id = p_bucket AND p.name = p_name COLLATE "C"
    FOR UPDATE;
    IF pending.state = 'pending' THEN
        IF pending.expires_at <= clock_timestamp() THEN
            RETURN NULL;
        END IF;
        UPDATE storage.pending_uploads AS p SET
            state = p_state, confirmation = p_confirmation, blob_id = NULL, content = NULL, size_bytes = NULL
        WHERE p.id = p_id;
    END IF;
    RETURN pending;
END
$$;

-- Makes an upload an object, as the caller: 'confirmed'; 'used' (somebody else confirmed it); 'absent' (there is none,
-- it was cancelled, or its time is over). What PutObject would refuse is refused here, and leaves it waiting. p_confirmation
-- names this request, so that its repetition after a lost COMMIT is told what the first one did.
CREATE FUNCTION rowlock.confirm_upload(
    p_id uuid, p_bucket text, p_name text, p_owner_id text, p_modified text, p_confirmation uuid) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    pending storage.pending_uploads;
BEGIN
    -- The key's lock before that of the quota's row, as every writer takes them.
    PERFORM rowlock.lock_key(p_bucket, p_name);
    pending := rowlock.take_pending_upload(p_id, p_bucket, p_name, 'confirmed', p_confirmation);
    IF pending.state = 'confirmed' THEN
        RETURN CASE pending.confirmation WHEN p_confirmation THEN 'confirmed' ELSE 'used' END;
    ELSIF pending.state IS DISTINCT FROM 'pending' THEN
        RETURN 'absent';
    END IF;
    PERFORM rowlock.put_object(
        p_bucket, p_name, pending.version, coalesce(pending.owner_id, p_owner_id),
        pending.metadata || jsonb_build_object('lastModified', p_modified), pending.user_metadata,
        -- no epoch: the blob was a row's until this moment, whatever has become of the process that wrote it
        NULL, pending.backend, pending.blob_id, pending.content, pending.size_bytes, pending.etag,
        NULL, NULL, NULL, pending.checksum_algorithm, pending.checksum_type, pending.checksum_value,
        coalesce(pending.attributes, '{}') || '{"encryption_settled": true}',
        NULL, CASE WHEN NOT pending.upsert THEN '*' END);
    RETURN 'confirmed';
END
$$;

-- Gives an upload up, as somebody who may write the object: 'cancelled' or 'absent'.
CREATE FUNCTION rowlock.cancel_upload(p_id uuid, p_bucket text, p_name text) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    pending storage.pending_uploads;
BEGIN
    SELECT * INTO pending FROM rowlock.pending_upload(p_id, p_bucket, p_name);
    IF NOT FOUND THEN
        RETURN 'absent';
    END IF;
    PERFORM rowlock.probe_put_object(
        p_bucket, p_name, pending.owner_id, pending.metadata, pending.user_metadata, NULL, NULL, NULL);
    pending := rowlock.take_pending_upload(p_id, p_bucket, p_name, 'cancelled', NULL);
    RETURN CASE pending.state WHEN 'pending' THEN 'cancelled' ELSE 'absent' END;
END
$$;

ALTER FUNCTION rowlock.probe_pending_upload(uuid, text, text, text, bigint, integer) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.record_pending_upload(
    uuid, text, text, text, boolean, timestamptz, text, jsonb, jsonb, integer, text, text, bytea, bigint, text, text, text,
    text, jsonb) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.pending_upload(uuid, text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.take_pending_upload(uuid, text, text, text, uuid) OWNER TO rowlock_engine;
