-- Multipart uploads. The rows are bookkeeping of the gateway, kept by functions of the engine; what decides is the
-- probe at the start and at each part, and the real statement at completion, both as the caller.

CREATE FUNCTION rowlock.create_multipart_upload(
    p_upload_id text, p_bucket text, p_key text, p_version text, p_owner_id text, p_metadata jsonb,
    p_user_metadata jsonb, p_backend text, p_checksum_algorithm text, p_checksum_type text,
    p_attributes jsonb) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    started timestamptz;
BEGIN
    PERFORM rowlock.require_gateway();
    IF p_attributes IS NOT NULL THEN
        -- a lock the bucket cannot give is refused now, not at completion
        PERFORM rowlock.with_lock(p_attributes, rowlock.lock_configuration(p_bucket), clock_timestamp());
    END IF;
    INSERT INTO storage.s3_multipart_uploads (
        id, bucket_id, key, version, owner_id, metadata, user_metadata, backend, checksum_algorithm, checksum_type,
        attributes)
    VALUES (
        p_upload_id, p_bucket, p_key, p_version, p_owner_id, p_metadata, p_user_metadata, p_backend,
        p_checksum_algorithm, p_checksum_type, p_attributes)
    RETURNING created_at INTO started;
    RETURN started;
END
$$;

-- The upload with this id, should it be open and belong to this key. Its id is a secret of 128 bits, so knowing it
-- shows that the caller was told; the key must fit nevertheless.
CREATE FUNCTION rowlock.open_upload(p_upload_id text, p_bucket text, p_key text)
RETURNS SETOF storage.s3_multipart_uploads
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' ROWS 1 AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN QUERY
        SELECT u.* FROM storage.s3_multipart_uploads AS u
        WHERE u.id = p_upload_id AND u.bucket_id = p_bucket AND u.key = p_key COLLATE "C" AND u.completed_at IS NULL;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM storage.buckets AS b WHERE b.id = p_bucket) THEN
            RAISE SQLSTATE 'RL001';
        END IF;
        RAISE SQLSTATE 'RL007';
    END IF;
END
$$;

-- May this caller add this part? Asked before its body is read.
CREATE FUNCTION rowlock.probe_part(p_upload_id text, p_bucket text, p_key text, p_size bigint)
RETURNS TABLE (
    backend text, version text, checksum_algorithm text, checksum_type text, attributes jsonb, storage_class text)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
DECLARE
    upload storage.s3_multipart_uploads;
BEGIN
    SELECT * INTO STRICT upload FROM rowlock.open_upload(p_upload_id, p_bucket, p_key);
    PERFORM rowlock.probe_put_object(
        p_bucket, p_key, upload.owner_id, upload.metadata, upload.user_metadata, p_size, NULL, NULL);
    RETURN QUERY
        SELECT upload.backend, upload.version, upload.checksum_algorithm, upload.checksum_type, upload.attributes,
            upload.metadata ->> 'storageClass';
END
$$;

-- Records a part whose blob is durable. A part sent again replaces the earlier one, whose blob goes to the garbage.
CREATE FUNCTION rowlock.record_part(
    p_upload_id text, p_bucket text, p_key text, p_part_number integer, p_epoch integer, p_backend text, p_blob_id text,
    p_size bigint, p_etag text, p_checksum_algorithm text, p_checksum_value text, p_owner_id text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    stored timestamptz;
BEGIN
    PERFORM rowlock.require_gateway();
    PERFORM rowlock.require_epoch(p_epoch);
    -- Writers of one part take turns; a repetition of a write that took effect changes nothing.
    PERFORM rowlock.lock_key(p_upload_id, p_part_number::text);
    SELECT part.created_at INTO stored FROM storage.s3_multipart_uploads_parts AS part WHERE part.blob_id = p_blob_id;
    IF NOT FOUND THEN
        SELECT o.updated_at INTO stored FROM storage.objects AS o
        WHERE o.part_blobs @> ARRAY[p_blob_id] AND o.part_blobs IS NOT NULL;
    END IF;
    stored := coalesce(stored, rowlock.blob_owned_since(p_blob_id));
    IF stored IS NOT NULL THEN
        RETURN stored;
    END IF;
    -- Against a completion or an abort running at this moment.
    PERFORM FROM storage.s3_multipart_uploads AS u
    WHERE u.id = p_upload_id AND u.bucket_id = p_bucket AND u.key = p_key COLLATE "C" AND u.completed_at IS NULL
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'RL007';
    END IF;
    INSERT INTO storage.s3_multipart_uploads_parts AS part (
        upload_id, part_number, bucket_id, key, size, etag, owner_id, version, backend, blob_id,
        checksum_algorithm, checksum_value)
    VALUES (
        p_upload_id, p_part_number, p_bucket, p_key, p_size, p_etag, p_owner_id, p_blob_id, p_backend, p_blob_id,
        p_checksum_algorithm, p_checksum_value)
    ON CONFLICT (upload_id, part_number) DO UPDATE SET
        size = excluded.size, etag = excluded.etag, owner_id = excluded.owner_id, version = excluded.version,
        backend = excluded.backend, blob_id = excluded.blob_id, checksum_algorithm = excluded.checksum_algorithm,
        checksum_value = excluded.checksum_value, created_at = clock_timestamp()
    RETURNING part.created_at INTO stored;
    RETURN stored;
END
$$;

-- Parts of an open upload, for its owner or whoever may put the key (checked by the caller of this function).
CREATE FUNCTION rowlock.upload_parts(p_upload_id text, p_after integer, p_limit integer)
RETURNS SETOF storage.s3_multipart_uploads_parts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN QUERY
        SELECT part.* FROM storage.s3_multipart_uploads_parts AS part
        WHERE part.upload_id = p_upload_id AND part.part_number > p_after
        ORDER BY part.part_number
        LIMIT p_limit;
END
$$;

-- First statement of a completion: holds the upload for the rest of the transaction. A completed one is returned too,
-- with the answer it got, so that a repeated completion says the same (reliability: idempotent retry).
CREATE FUNCTION rowlock.lock_upload(p_upload_id text, p_bucket text, p_key text)
RETURNS SETOF storage.s3_multipart_uploads
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' ROWS 1 AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN QUERY
        SELECT u.* FROM storage.s3_multipart_uploads AS u
        WHERE u.id = p_upload_id AND u.bucket_id = p_bucket AND u.key = p_key COLLATE "C"
        FOR UPDATE;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM storage.buckets AS b WHERE b.id = p_bucket) THEN
            RAISE SQLSTATE 'RL001';
        END IF;
        RAISE SQLSTATE 'RL007';
    END IF;
    -- For the quota: what the object will count, its parts count no more (0020).
    PERFORM pg_catalog.set_config('rowlock.completing_upload', p_upload_id, true);
END
$$;

-- Last statement of a completion: the parts used now belong to the object, the others go to the garbage.
CREATE FUNCTION rowlock.finish_upload(p_upload_id text, p_blob_ids text[], p_answer jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
DECLARE
    adopted_parts integer;
BEGIN
    PERFORM rowlock.require_gateway();
    UPDATE storage.s3_multipart_uploads_parts AS part SET adopted = true
    WHERE part.upload_id = p_upload_id AND part.blob_id = ANY (p_blob_ids);
    GET DIAGNOSTICS adopted_parts = ROW_COUNT;
    IF adopted_parts <> cardinality(p_blob_ids) THEN
        RAISE SQLSTATE 'RL009';
    END IF;
    DELETE FROM storage.s3_multipart_uploads_parts AS part WHERE part.upload_id = p_upload_id;
    UPDATE storage.s3_multipart_uploads AS u SET completed_at = clock_timestamp(), answer = p_answer
    WHERE u.id = p_upload_id;
    RETURN adopted_parts;
END
$$;

CREATE FUNCTION rowlock.abort_upload(p_upload_id text, p_bucket text, p_key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    PERFORM rowlock.lock_upload(p_upload_id, p_bucket, p_key);
    DELETE FROM storage.s3_multipart_uploads AS u WHERE u.id = p_upload_id AND u.completed_at IS NULL;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'RL007';
    END IF;
END
$$;

ALTER FUNCTION rowlock.create_multipart_upload(text, text, text, text, text, jsonb, jsonb, text, text, text, jsonb)
    OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.open_upload(text, text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.record_part(text, text, text, integer, integer, text, text, bigint, text, text, text, text)
    OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.upload_parts(text, integer, integer) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.lock_upload(text, text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.finish_upload(text, text[], jsonb) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.abort_upload(text, text, text) OWNER TO rowlock_engine;
