-- Where the bytes of a bucket go, and moving those it has from one backend to another while it is in use.

-- NULL: the gateway's default backend. Rows keep saying where their own bytes are.
ALTER TABLE storage.buckets ADD COLUMN IF NOT EXISTS backend text;

-- Which backend a bucket uses is the operator's decision, not that of whoever may update its row.
CREATE FUNCTION rowlock.guard_bucket_backend() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    IF current_user IN ('anon', 'authenticated', 's3_account') THEN
        RAISE insufficient_privilege USING MESSAGE = 'the backend of a bucket is chosen by the operator';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_backend_insert BEFORE INSERT ON storage.buckets FOR EACH ROW
    WHEN (NEW.backend IS NOT NULL) EXECUTE FUNCTION rowlock.guard_bucket_backend();
CREATE TRIGGER guard_backend_update BEFORE UPDATE OF backend ON storage.buckets FOR EACH ROW
    WHEN (NEW.backend IS DISTINCT FROM OLD.backend) EXECUTE FUNCTION rowlock.guard_bucket_backend();

-- Asked together with the dry run of a write, whoever sees the bucket.
CREATE FUNCTION rowlock.bucket_backend(p_bucket text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN (SELECT b.backend FROM storage.buckets AS b WHERE b.id = p_bucket);
END
$$;
ALTER FUNCTION rowlock.bucket_backend(text) OWNER TO rowlock_engine;

-- Gives a version's bytes another place, if it still has the ones that were copied; the old blobs go to the garbage by
-- the trigger of every update. Encryption goes on naming the ids its keys were derived from. False: somebody was faster.
CREATE FUNCTION rowlock.move_object(
    p_id uuid, p_from text, p_blob_id text, p_part_blobs text[],
    p_epoch integer, p_backend text, p_new_blob_id text, p_new_part_blobs text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    IF rowlock.admit_blob(p_epoch, coalesce(p_new_blob_id, p_new_part_blobs[1])) IS NOT NULL THEN
        -- a repetition after a lost COMMIT
        RETURN true;
    END IF;
    UPDATE storage.objects AS o SET
        backend = p_backend, blob_id = p_new_blob_id, part_blobs = p_new_part_blobs,
        encryption = CASE
            WHEN o.encryption IS NULL OR jsonb_typeof(o.encryption -> 'origins') = 'array' THEN o.encryption
            ELSE o.encryption || jsonb_build_object('origins', coalesce(p_part_blobs, ARRAY[p_blob_id]))
        END
    WHERE o.id = p_id AND o.backend = p_from AND o.blob_id IS NOT DISTINCT FROM p_blob_id
        AND o.part_blobs IS NOT DISTINCT FROM p_part_blobs;
    RETURN FOUND;
END
$$;
GRANT EXECUTE ON FUNCTION rowlock.move_object(uuid, text, text, text[], integer, text, text, text[]) TO rowlock_engine;
