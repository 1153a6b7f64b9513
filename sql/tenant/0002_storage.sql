-- Schema storage: Supabase's tables, columns and helper functions, so that existing policies and dashboards run
-- unchanged, plus the columns in which a row says where its bytes are.

DO $$
BEGIN
    IF to_regtype('storage.buckettype') IS NULL THEN
        CREATE TYPE storage.buckettype AS ENUM ('STANDARD', 'ANALYTICS', 'VECTOR');
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS storage.buckets (
    id text PRIMARY KEY,
    name text NOT NULL,
    owner uuid,
    owner_id text,
    created_at timestamptz DEFAULT clock_timestamp(),
    updated_at timestamptz DEFAULT clock_timestamp(),
    public boolean DEFAULT false,
    avif_autodetection boolean DEFAULT false,
    file_size_limit bigint,
    allowed_mime_types text[],
    type storage.buckettype NOT NULL DEFAULT 'STANDARD',
    versioning_status text NOT NULL DEFAULT 'DISABLED'
        CHECK (versioning_status IN ('DISABLED', 'ENABLED', 'SUSPENDED')),
    CHECK (length(name) <= 100)
);
CREATE UNIQUE INDEX IF NOT EXISTS bname ON storage.buckets (name);
CREATE INDEX IF NOT EXISTS buckets_id_bytes ON storage.buckets (id COLLATE "C");

CREATE TABLE IF NOT EXISTS storage.objects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    bucket_id text REFERENCES storage.buckets (id),
    name text COLLATE "C",
    owner uuid,
    owner_id text,
    created_at timestamptz DEFAULT clock_timestamp(),
    updated_at timestamptz DEFAULT clock_timestamp(),
    last_accessed_at timestamptz DEFAULT clock_timestamp(),
    metadata jsonb,
    user_metadata jsonb,
    version text DEFAULT gen_random_uuid()::text,
    path_tokens text[] GENERATED ALWAYS AS (string_to_array(name, '/')) STORED,
    archived_at timestamptz,
    is_delete_marker boolean NOT NULL DEFAULT false,
    is_versioned boolean NOT NULL DEFAULT false
);

-- Where the bytes are. Only the gateway writes these (trigger guard_bytes below). Exactly one of content, blob_id and
-- part_blobs is set once an object has bytes; a row made by hand has none.
ALTER TABLE storage.objects
    ADD COLUMN IF NOT EXISTS size_bytes bigint,
    ADD COLUMN IF NOT EXISTS etag text,
    ADD COLUMN IF NOT EXISTS backend text,
    ADD COLUMN IF NOT EXISTS blob_id text,
    ADD COLUMN IF NOT EXISTS content bytea,
    ADD COLUMN IF NOT EXISTS part_sizes bigint[],
    ADD COLUMN IF NOT EXISTS part_blobs text[],
    ADD COLUMN IF NOT EXISTS part_checksums text[],
    ADD COLUMN IF NOT EXISTS checksum_algorithm text,
    ADD COLUMN IF NOT EXISTS checksum_type text,
    ADD COLUMN IF NOT EXISTS checksum_value text;
-- What S3 keeps of a version besides its headers; all NULL for the ordinary object.
ALTER TABLE storage.objects
    ADD COLUMN IF NOT EXISTS tags jsonb,
    ADD COLUMN IF NOT EXISTS acl jsonb,
    ADD COLUMN IF NOT EXISTS lock_mode text CHECK (lock_mode IN ('GOVERNANCE', 'COMPLIANCE')),
    ADD COLUMN IF NOT EXISTS lock_until timestamptz,
    ADD COLUMN IF NOT EXISTS legal_hold boolean,
    ADD COLUMN IF NOT EXISTS encryption jsonb,
    ADD COLUMN IF NOT EXISTS is_annotated boolean;
-- The id under which S3 knows an archived version ('null' or its version); NULL for the current one, so that replacing
-- a current row changes no indexed column (an index on version would forbid heap-only updates).
ALTER TABLE storage.objects ADD COLUMN IF NOT EXISTS archived_version text COLLATE "C";
-- Inline bytes are small and rarely compress: keep them as they are.
ALTER TABLE storage.objects ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX IF NOT EXISTS bucketid_objname
    ON storage.objects (bucket_id, name COLLATE "C") WHERE archived_at IS NULL;
-- Archived versions by name, newest first, and by id. Objects of unversioned buckets are not in them.
CREATE UNIQUE INDEX IF NOT EXISTS objects_archived_order
    ON storage.objects (bucket_id, name COLLATE "C", archived_at DESC) WHERE archived_at IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS objects_archived_version
    ON storage.objects (bucket_id, name COLLATE "C", archived_version) WHERE archived_at IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS objects_blob_id ON storage.objects (blob_id) WHERE blob_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_part_blobs ON storage.objects USING gin (part_blobs) WHERE part_blobs IS NOT NULL;

CREATE TABLE IF NOT EXISTS storage.s3_multipart_uploads (
    id text PRIMARY KEY,
    in_progress_size bigint NOT NULL DEFAULT 0,
    upload_signature text NOT NULL DEFAULT '',
    bucket_id text NOT NULL REFERENCES storage.buckets (id),
    key text COLLATE "C" NOT NULL,
    version text NOT NULL,
    owner_id text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_metadata jsonb,
    metadata jsonb
);
ALTER TABLE storage.s3_multipart_uploads
    ADD COLUMN IF NOT EXISTS backend text,
    ADD COLUMN IF NOT EXISTS checksum_algorithm text,
    ADD COLUMN IF NOT EXISTS checksum_type text,
    ADD COLUMN IF NOT EXISTS attributes jsonb,
    ADD COLUMN IF NOT EXISTS completed_at timestamptz,
    ADD COLUMN IF NOT EXISTS answer jsonb;
-- S3 deletes a bucket although uploads into it were never finished.
ALTER TABLE storage.s3_multipart_uploads
    DROP CONSTRAINT IF EXISTS s3_multipart_uploads_bucket_id_fkey,
    ADD CONSTRAINT s3_multipart_uploads_bucket_id_fkey
        FOREIGN KEY (bucket_id) REFERENCES storage.buckets (id) ON DELETE CASCADE;
CREATE INDEX IF NOT EXISTS idx_multipart_uploads_list
    ON storage.s3_multipart_uploads (bucket_id, key COLLATE "C", created_at);

CREATE TABLE IF NOT EXISTS storage.s3_multipart_uploads_parts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    upload_id text NOT NULL REFERENCES storage.s3_multipart_uploads (id) ON DELETE CASCADE,
    size bigint NOT NULL DEFAULT 0,
    part_number integer NOT NULL,
    bucket_id text NOT NULL,
    key text COLLATE "C" NOT NULL,
    etag text NOT NULL,
    owner_id text,
    version text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE storage.s3_multipart_uploads_parts
    ADD COLUMN IF NOT EXISTS backend text,
    ADD COLUMN IF NOT EXISTS blob_id text,
    ADD COLUMN IF NOT EXISTS checksum_algorithm text,
    ADD COLUMN IF NOT EXISTS checksum_value text,
    ADD COLUMN IF NOT EXISTS adopted boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX IF NOT EXISTS multipart_parts_number
    ON storage.s3_multipart_uploads_parts (upload_id, part_number);
CREATE UNIQUE INDEX IF NOT EXISTS multipart_parts_blob_id
    ON storage.s3_multipart_uploads_parts (blob_id) WHERE blob_id IS NOT NULL;

-- Bytes that were uploaded and wait to be confirmed (0031): no object yet, so nothing that reads objects knows of them.
-- Only the engine writes here. A row that was confirmed or cancelled has no bytes any more and stays until it expires, so
-- that its token is good for nothing else.
CREATE TABLE IF NOT EXISTS storage.pending_uploads (
    id uuid PRIMARY KEY,
    bucket_id text NOT NULL REFERENCES storage.buckets (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    owner_id text,
    upsert boolean NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'confirmed', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    confirmation uuid,
    version text NOT NULL,
    metadata jsonb NOT NULL,
    user_metadata jsonb,
    backend text,
    blob_id text,
    content bytea,
    size_bytes bigint,
    etag text NOT NULL,
    checksum_algorithm text,
    checksum_type text,
    checksum_value text,
    attributes jsonb
);
ALTER TABLE storage.pending_uploads ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX IF NOT EXISTS pending_uploads_blob_id
    ON storage.pending_uploads (blob_id) WHERE blob_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS pending_uploads_expires_at ON storage.pending_uploads (expires_at);
CREATE INDEX IF NOT EXISTS pending_uploads_waiting ON storage.pending_uploads (expires_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS pending_uploads_bucket_id ON storage.pending_uploads (bucket_id);

-- What S3 calls the configurations of a bucket, one row a kind: cors, lifecycle, tagging, policy…
CREATE TABLE IF NOT EXISTS storage.bucket_configurations (
    bucket_id text NOT NULL REFERENCES storage.buckets (id) ON DELETE CASCADE,
    kind text NOT NULL,
    document jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (bucket_id, kind)
);

-- Helper functions user policies call (Supabase's definitions, reworded).
CREATE OR REPLACE FUNCTION storage.foldername(name text) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = '' AS
$$ SELECT (string_to_array(name, '/'))[1 : array_length(string_to_array(name, '/'), 1) - 1] $$;

CREATE OR REPLACE FUNCTION storage.filename(name text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS
$$ SELECT (string_to_array(name, '/'))[array_length(string_to_array(name, '/'), 1)] $$;

CREATE OR REPLACE FUNCTION storage.extension(name text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS
$$ SELECT reverse(split_part(reverse(storage.filename(name)), '.', 1)) $$;

CREATE OR REPLACE FUNCTION storage.operation() RETURNS text
LANGUAGE sql STABLE SET search_path = '' AS
$$ SELECT current_setting('storage.operation', true) $$;

CREATE OR REPLACE FUNCTION storage.allow_only_operation(expected_operation text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS
$$ SELECT storage.operation() IN (expected_operation, 'storage.' || expected_operation) $$;

CREATE OR REPLACE FUNCTION storage.allow_any_operation(expected_operations text[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS
$$ SELECT EXISTS (SELECT FROM unnest(expected_operations) AS expected WHERE storage.allow_only_operation(expected)) $$;

CREATE OR REPLACE FUNCTION storage.get_size_by_bucket() RETURNS TABLE (size bigint, bucket_id text)
LANGUAGE sql STABLE SET search_path = '' AS
$$ SELECT sum(o.size_bytes)::bigint, o.bucket_id FROM storage.objects AS o GROUP BY o.bucket_id $$;

CREATE OR REPLACE FUNCTION storage.update_updated_at_column() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS
$$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
-- That of storage.objects is kept by rowlock.before_update (0003).
DROP TRIGGER IF EXISTS update_objects_updated_at ON storage.objects;
CREATE OR REPLACE TRIGGER update_buckets_updated_at BEFORE UPDATE ON storage.buckets FOR EACH ROW
    EXECUTE FUNCTION storage.update_updated_at_column();

-- Access. FORCE: the owner of the tables is no exception. The engine and the service role are named by policies as
-- well, because not every Postgres lets us give them BYPASSRLS.
ALTER TABLE storage.buckets ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.buckets FORCE ROW LEVEL SECURITY;
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.objects FORCE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads FORCE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads_parts ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads_parts FORCE ROW LEVEL SECURITY;
ALTER TABLE storage.pending_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.pending_uploads FORCE ROW LEVEL SECURITY;
ALTER TABLE storage.bucket_configurations ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.bucket_configurations FORCE ROW LEVEL SECURITY;

GRANT ALL ON storage.buckets, storage.objects, storage.bucket_configurations
    TO anon, authenticated, service_role, rowlock_engine;
GRANT SELECT ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO anon, authenticated;
GRANT ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO service_role, rowlock_engine;
GRANT SELECT ON storage.pending_uploads TO authenticated, service_role;
GRANT ALL ON storage.pending_uploads TO rowlock_engine;
-- TRUNCATE looks past row-level security.
REVOKE TRUNCATE ON storage.buckets, storage.objects, storage.bucket_configurations FROM anon, authenticated;

DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY[
        'buckets', 'objects', 'bucket_configurations', 's3_multipart_uploads', 's3_multipart_uploads_parts',
        'pending_uploads'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS rowlock_full_rights ON storage.%I', relation);
        EXECUTE format(
            'CREATE POLICY rowlock_full_rights ON storage.%I TO service_role, rowlock_engine USING (true) WITH CHECK (true)',
            relation);
    END LOOP;
END
$$;
-- Who owns a bucket configures it.
DROP POLICY IF EXISTS rowlock_own_configurations ON storage.bucket_configurations;
CREATE POLICY rowlock_own_configurations ON storage.bucket_configurations TO authenticated
    USING (bucket_id IN (
        SELECT b.id FROM storage.buckets AS b
        WHERE b.owner_id = (SELECT nullif(current_setting('request.jwt.claim.sub', true), ''))));
DROP POLICY IF EXISTS rowlock_own_uploads ON storage.s3_multipart_uploads;
CREATE POLICY rowlock_own_uploads ON storage.s3_multipart_uploads FOR SELECT TO authenticated
    USING (owner_id = (SELECT nullif(current_setting('request.jwt.claim.sub', true), '')));
DROP POLICY IF EXISTS rowlock_own_parts ON storage.s3_multipart_uploads_parts;
CREATE POLICY rowlock_own_parts ON storage.s3_multipart_uploads_parts FOR SELECT TO authenticated
    USING (owner_id = (SELECT nullif(current_setting('request.jwt.claim.sub', true), '')));
DROP POLICY IF EXISTS rowlock_own_pending ON storage.pending_uploads;
CREATE POLICY rowlock_own_pending ON storage.pending_uploads FOR SELECT TO authenticated
    USING (owner_id = (SELECT nullif(current_setting('request.jwt.claim.sub', true), '')));
