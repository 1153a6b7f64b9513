-- The policies that bind s3_account and anon to S3's rules (0016). They are permissive but for the denials, so policies
-- of one's own add to what S3 grants. The service role, the engine and authenticated users never meet them.

GRANT SELECT, INSERT, DELETE ON storage.buckets, storage.objects TO s3_account;
GRANT SELECT, INSERT, UPDATE, DELETE ON storage.bucket_configurations TO s3_account;
GRANT SELECT ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO s3_account;
GRANT UPDATE (acl, versioning_status, updated_at) ON storage.buckets TO s3_account;
-- A row stays where it is: an account may replace an object, not move it.
DO $$
BEGIN
    EXECUTE (
        SELECT format('GRANT UPDATE (%s) ON storage.objects TO s3_account', string_agg(format('%I', a.attname), ', '))
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = 'storage.objects'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            AND a.attname NOT IN ('id', 'bucket_id', 'name'));
END
$$;

-- Objects, a policy a command, because a command says what is done where no operation is set. $1: S3's action.
DO $$
DECLARE
    rule record;
    -- The bucket decides for all of its keys; then the object's owner and ACL; then policies about some keys.
    allowed constant text := $sql$(
        bucket_id = ANY ((SELECT rowlock.s3_open_for_objects(%1$L))::text[])
        OR ((SELECT rowlock.s3_object_grants(%1$L, true)) <> '{}'
            AND bucket_id = coalesce((SELECT rowlock.s3_request() ->> 'bucket'), bucket_id)
            AND bucket_id <> ALL ((SELECT rowlock.s3_without_acls(false))::text[])
            AND CASE
                WHEN acl IS NULL AND owner_id IS NULL THEN bucket_id = ANY ((SELECT rowlock.s3_own_buckets(%1$L))::text[])
                WHEN acl IS NULL THEN owner_id = (SELECT rowlock.s3_owner_for(%1$L))
                ELSE coalesce(owner_id, '') = (SELECT rowlock.s3_owner_always(%1$L))
                    OR (owner_id IS NULL AND bucket_id = ANY ((SELECT rowlock.s3_own_buckets(%1$L))::text[]))
                    OR acl @> ANY ((SELECT rowlock.s3_object_grants(%1$L, false))::jsonb[])
                    OR (acl @> ANY ((SELECT rowlock.s3_object_grants(%1$L, true))::jsonb[])
                        AND bucket_id <> ALL ((SELECT rowlock.s3_without_acls(true))::text[]))
            END)
        OR ((SELECT rowlock.s3_key_rules(%1$L)) ? bucket_id
            AND rowlock.s3_rules_match((SELECT rowlock.s3_key_rules(%1$L)) -> bucket_id, name, tags)))$sql$;
    -- What is written is the caller's own, or the bucket owner's where the bucket's ownership says so.
    written constant text := $sql$ AND (
        owner_id IS NOT DISTINCT FROM (SELECT rowlock.s3_subject())
        OR owner_id IS NOT DISTINCT FROM rowlock.s3_bucket_owner(bucket_id))$sql$;
    -- An ACL that takes the caller's own right away may still be written by it.
    described constant text := $sql$((SELECT rowlock.s3_object_permission(rowlock.s3_action(%1$L))) IS NOT NULL OR %2$s)$sql$;
    not_denied constant text := $sql$(
        bucket_id <> ALL ((SELECT rowlock.s3_denying_for_objects(%1$L))::text[])
        OR NOT rowlock.s3_rules_match((SELECT rowlock.s3_object_denials(%1$L)) -> bucket_id, name, tags))$sql$;
BEGIN
    FOR rule IN SELECT * FROM (VALUES
        ('SELECT', 's3:GetObject'), ('INSERT', 's3:PutObject'), ('UPDATE', 's3:PutObject'), ('DELETE', 's3:DeleteObject')
    ) AS r (command, action) LOOP
        EXECUTE format('CREATE POLICY %I ON storage.objects FOR %s TO s3_account, anon %s %s',
            'rowlock_s3_' || lower(rule.command), rule.command,
            CASE WHEN rule.command <> 'INSERT' THEN 'USING (' || format(allowed, rule.action) || ')' END,
            CASE rule.command
                WHEN 'INSERT' THEN 'WITH CHECK (' || format(allowed || written, rule.action) || ')'
                WHEN 'UPDATE' THEN
                    'WITH CHECK (' || format(described, rule.action, format(allowed || written, rule.action)) || ')'
            END);
        EXECUTE format('CREATE POLICY %I ON storage.objects AS RESTRICTIVE FOR %s TO s3_account, anon %s (%s)',
            'rowlock_s3_denied_' || lower(rule.command), rule.command,
            CASE WHEN rule.command = 'INSERT' THEN 'WITH CHECK' ELSE 'USING' END, format(not_denied, rule.action));
    END LOOP;
END
$$;

-- Buckets. An account makes them in its own name, and sees its own.
CREATE POLICY rowlock_s3_select ON storage.buckets FOR SELECT TO s3_account, anon USING (
    owner_id = (SELECT rowlock.s3_subject()) OR id = ANY ((SELECT rowlock.s3_open_for_buckets('s3:ListBucket'))::text[]));
CREATE POLICY rowlock_s3_insert ON storage.buckets FOR INSERT TO s3_account WITH CHECK (
    owner_id = (SELECT rowlock.s3_subject()));
CREATE POLICY rowlock_s3_update ON storage.buckets FOR UPDATE TO s3_account, anon USING (
    owner_id = (SELECT rowlock.s3_subject()) OR id = ANY ((SELECT rowlock.s3_open_for_buckets('s3:PutBucketAcl'))::text[]));
CREATE POLICY rowlock_s3_delete ON storage.buckets FOR DELETE TO s3_account, anon USING (
    owner_id = (SELECT rowlock.s3_subject()) OR id = ANY ((SELECT rowlock.s3_open_for_buckets('s3:DeleteBucket'))::text[]));
CREATE POLICY rowlock_s3_denied_select ON storage.buckets AS RESTRICTIVE FOR SELECT TO s3_account, anon USING (
    id <> ALL ((SELECT rowlock.s3_denying_for_buckets('s3:ListBucket'))::text[]));
CREATE POLICY rowlock_s3_denied_update ON storage.buckets AS RESTRICTIVE FOR UPDATE TO s3_account, anon USING (
    id <> ALL ((SELECT rowlock.s3_denying_for_buckets('s3:PutBucketAcl'))::text[]));
CREATE POLICY rowlock_s3_denied_delete ON storage.buckets AS RESTRICTIVE FOR DELETE TO s3_account, anon USING (
    id <> ALL ((SELECT rowlock.s3_denying_for_buckets('s3:DeleteBucket'))::text[]));

-- Configurations: their bucket's owner's, and whom a policy lets do this very operation.
CREATE POLICY rowlock_s3_configurations ON storage.bucket_configurations TO s3_account, anon USING (
    rowlock.s3_bucket_owner(bucket_id) = (SELECT rowlock.s3_subject())
    OR (kind = (SELECT rowlock.s3_kind())
        AND bucket_id = ANY ((SELECT rowlock.s3_open_for_buckets('s3:ListBucket'))::text[])));
CREATE POLICY rowlock_s3_denied_configurations ON storage.bucket_configurations AS RESTRICTIVE TO s3_account, anon USING (
    bucket_id <> ALL ((SELECT rowlock.s3_denying_for_buckets('s3:ListBucket'))::text[]));

-- Uploads under way: the bookkeeping is the engine's, so these rows are only looked at.
CREATE POLICY rowlock_s3_uploads ON storage.s3_multipart_uploads FOR SELECT TO s3_account, anon USING (
    bucket_id = ANY ((SELECT rowlock.s3_open_for_objects('s3:ListBucketMultipartUploads'))::text[]));
CREATE POLICY rowlock_s3_denied_uploads ON storage.s3_multipart_uploads AS RESTRICTIVE FOR SELECT TO s3_account, anon USING (
    bucket_id <> ALL ((SELECT rowlock.s3_denying_for_objects('s3:ListBucketMultipartUploads'))::text[]));
CREATE POLICY rowlock_s3_parts ON storage.s3_multipart_uploads_parts FOR SELECT TO s3_account, anon USING (
    bucket_id = ANY ((SELECT rowlock.s3_open_for_objects('s3:ListMultipartUploadParts'))::text[]));
CREATE POLICY rowlock_s3_denied_parts ON storage.s3_multipart_uploads_parts AS RESTRICTIVE FOR SELECT TO s3_account, anon USING (
    bucket_id <> ALL ((SELECT rowlock.s3_denying_for_objects('s3:ListMultipartUploadParts'))::text[]));

-- Is there an object of this name that the caller may see in a listing, but not read? Then it is told so, as AWS does;
-- whoever may not list learns nothing.
CREATE FUNCTION rowlock.s3_is_hidden(p_bucket text, p_name text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN p_bucket = ANY (rowlock.s3_open_for_buckets('s3:ListBucket')) AND EXISTS (
        SELECT FROM storage.objects AS o
        WHERE o.bucket_id = p_bucket AND o.name = p_name COLLATE "C" AND o.archived_at IS NULL AND NOT o.is_delete_marker);
END
$$;
ALTER FUNCTION rowlock.s3_is_hidden(text, text) OWNER TO rowlock_engine;

-- What the gateway asks and says. -----------------------------------------------------------------------------------

-- A bucket with an ACL or with ownership controls, made in one statement; with object lock it keeps versions.
CREATE FUNCTION rowlock.create_bucket(
    p_bucket text, p_owner_id text, p_public boolean, p_acl jsonb, p_ownership text, p_object_lock boolean)
RETURNS void
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    INSERT INTO storage.buckets (id, name, owner, owner_id, public, acl, versioning_status)
    VALUES (
        p_bucket, p_bucket, rowlock.subject_uuid(p_owner_id), p_owner_id, p_public, p_acl,
        CASE WHEN p_object_lock THEN 'ENABLED' ELSE 'DISABLED' END);
    IF p_object_lock THEN
        PERFORM rowlock.set_lock_configuration(p_bucket, '{}');
    END IF;
    IF p_ownership IS NOT NULL THEN
        INSERT INTO storage.bucket_configurations (bucket_id, kind, document)
        VALUES (p_bucket, 'ownership', jsonb_build_object('object_ownership', p_ownership));
    END IF;
END
$$;

-- What must be known of a bucket before an ACL or a policy is taken, seen past row-level security.
CREATE FUNCTION rowlock.access_facts(
    p_bucket text, OUT owner_id text, OUT acl jsonb, OUT ownership text, OUT public_access_block jsonb, OUT policy jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT q.owner_id, q.acl, q.ownership, q.public_access_block, q.policy - 'text' - 'statements'
    INTO owner_id, acl, ownership, public_access_block, policy
    FROM rowlock.s3_buckets_in_question(NULL, p_bucket) AS q;
    IF NOT FOUND THEN
        RAISE SQLSTATE 'RL001';
    END IF;
END
$$;

-- Who will own what an upload makes, and who began it.
CREATE FUNCTION rowlock.upload_owner(p_upload_id text, OUT owner_id text, OUT initiator_id text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    SELECT CASE WHEN u.bucket_id = ANY (rowlock.s3_without_acls(false)) THEN rowlock.s3_bucket_owner(u.bucket_id)
        ELSE u.owner_id END, u.owner_id
    INTO owner_id, initiator_id
    FROM storage.s3_multipart_uploads AS u WHERE u.id = p_upload_id;
END
$$;
ALTER FUNCTION rowlock.upload_owner(text) OWNER TO rowlock_engine;

-- Accounts by any of their names.
CREATE FUNCTION rowlock.find_accounts(p_subjects text[], p_canonical_ids text[], p_emails text[])
RETURNS TABLE (subject text, canonical_id text, display_name text, email text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    RETURN QUERY
        SELECT a.subject, a.canonical_id, a.display_name, a.email FROM rowlock.accounts AS a
        WHERE a.subject = ANY (p_subjects) OR a.canonical_id = ANY (p_canonical_ids) OR lower(a.email) = ANY (p_emails)
        LIMIT 1000;
END
$$;

CREATE FUNCTION rowlock.register_account(p_subject text, p_canonical_id text, p_display_name text, p_email text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    INSERT INTO rowlock.accounts AS a (subject, canonical_id, display_name, email)
    VALUES (p_subject, p_canonical_id, p_display_name, p_email)
    ON CONFLICT (subject) DO UPDATE SET
        display_name = coalesce(excluded.display_name, a.display_name), email = coalesce(excluded.email, a.email);
END
$$;

-- Sets the ACL of a bucket as the caller. 'set', or why not (rowlock.bucket_visibility).
CREATE FUNCTION rowlock.set_bucket_acl(p_bucket text, p_acl jsonb) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    UPDATE storage.buckets AS b SET acl = p_acl WHERE b.id = p_bucket;
    RETURN CASE WHEN FOUND THEN 'set' ELSE rowlock.bucket_visibility(p_bucket) END;
END
$$;

CREATE FUNCTION rowlock.write_acl(p_id uuid, p_acl jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    PERFORM rowlock.require_gateway();
    UPDATE storage.objects AS o SET acl = p_acl WHERE o.id = p_id AND o.acl IS DISTINCT FROM p_acl;
END
$$;
ALTER FUNCTION rowlock.write_acl(uuid, jsonb) OWNER TO rowlock_engine;

-- Sets the ACL of the row the caller was shown; false when it was replaced or deleted since.
CREATE FUNCTION rowlock.set_object_acl(p_id uuid, p_version text, p_acl jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER SET search_path = '' AS
$$
BEGIN
    -- The caller's right is to change this row. The row as it will be is not asked: an ACL may take the writer's own
    -- right away, and Postgres holds a new row to the policies of SELECT too.
    PERFORM FROM storage.objects AS o WHERE o.id = p_id AND coalesce(o.version, '') = p_version FOR UPDATE;
    IF FOUND THEN
        PERFORM rowlock.write_acl(p_id, p_acl);
        RETURN true;
    END IF;
    RETURN false;
END
$$;

ALTER FUNCTION rowlock.access_facts(text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.find_accounts(text[], text[], text[]) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.register_account(text, text, text, text) OWNER TO rowlock_engine;

-- The names for which the caller may do what the operation says, by the rules of the bucket alone: for a row that is not
-- there a policy is never asked.
CREATE FUNCTION rowlock.s3_permitted(p_bucket text, p_names text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS
$$
    SELECT asked FROM unnest(p_names) AS asked
    WHERE (p_bucket = ANY ((SELECT rowlock.s3_open_for_objects('s3:DeleteObject'))::text[])
            OR rowlock.s3_rules_match((SELECT rowlock.s3_key_rules('s3:DeleteObject')) -> p_bucket, asked, NULL))
        AND NOT rowlock.s3_rules_match((SELECT rowlock.s3_object_denials('s3:DeleteObject')) -> p_bucket, asked, NULL)
$$;
