-- S3's own access model as row-level security: owners, ACLs, bucket policies, public access block, ownership.
--
-- Who is bound by it: s3_account (the owner of the buckets it makes) and anon. What they ask for is one S3 action, told
-- by storage.operation(), or by the kind of statement where that is not set. A policy on a table asks a function once a
-- statement (an init plan) which buckets are open to the caller as a whole; only in buckets where the answer depends on
-- the key or on the object's ACL does a row cost anything. An explicit Deny is a RESTRICTIVE policy.
--
-- These functions serve policies, so psql may call them too; each tells only about the caller's own standing. All are
-- PL/pgSQL, whose plans outlive a statement: a function in SQL would be planned again for every request.

ALTER TABLE storage.buckets ADD COLUMN IF NOT EXISTS acl jsonb;
CREATE INDEX IF NOT EXISTS buckets_owner_id ON storage.buckets (owner_id);
CREATE INDEX IF NOT EXISTS buckets_with_acl ON storage.buckets (id) WHERE acl IS NOT NULL;
CREATE INDEX IF NOT EXISTS configurations_of_access ON storage.bucket_configurations (kind, bucket_id)
    WHERE kind IN ('ownership', 'policy', 'public_access_block');

-- Whom grants and principals may name: every subject that has an access key.
CREATE TABLE rowlock.accounts (
    subject text PRIMARY KEY,
    canonical_id text NOT NULL UNIQUE,
    display_name text,
    email text
);
CREATE INDEX accounts_email ON rowlock.accounts (lower(email));
ALTER TABLE rowlock.accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE rowlock.accounts FORCE ROW LEVEL SECURITY;
GRANT ALL ON rowlock.accounts TO rowlock_engine;
CREATE POLICY engine ON rowlock.accounts TO rowlock_engine USING (true) WITH CHECK (true);

-- Who asks, and what. -----------------------------------------------------------------------------------------------

-- The account that calls; NULL for everyone else. A user's token may name any subject, an account's too, so the role
-- counts.
CREATE FUNCTION rowlock.s3_subject() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN CASE WHEN current_setting('role') = 's3_account'
        THEN nullif(current_setting('request.jwt.claim.sub', true), '') END;
END
$$;

-- What the gateway says of the request: its bucket, the values of condition keys (names in lower case, values in arrays).
CREATE FUNCTION rowlock.s3_request() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN coalesce(nullif(current_setting('rowlock.s3_request', true), ''), '{}')::jsonb;
END
$$;

-- S3's name for what an operation does; NULL for one this does not know.
CREATE FUNCTION rowlock.s3_action_of(p_operation text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
DECLARE
    named constant text := '{
        "storage.s3.bucket.list": "s3:ListAllMyBuckets", "storage.s3.bucket.create": "s3:CreateBucket",
        "storage.s3.bucket.get": "s3:ListBucket", "storage.s3.bucket.delete": "s3:DeleteBucket",
        "storage.s3.bucket.delete_policy": "s3:DeleteBucketPolicy",
        "storage.s3.bucket.delete_website": "s3:DeleteBucketWebsite",
        "storage.s3.object.list": "s3:ListBucket", "storage.s3.object.list_v2": "s3:ListBucket",
        "storage.s3.object.list_versions": "s3:ListBucketVersions",
        "storage.s3.object.get": "s3:GetObject", "storage.s3.object.info": "s3:GetObject",
        "storage.s3.object.delete": "s3:DeleteObject", "storage.s3.object.delete_many": "s3:DeleteObject",
        "storage.s3.object.delete_tagging": "s3:DeleteObjectTagging",
        "storage.s3.object.copy": "s3:PutObject", "storage.s3.upload": "s3:PutObject",
        "storage.s3.upload.create": "s3:PutObject", "storage.s3.upload.part": "s3:PutObject",
        "storage.s3.upload.part_copy": "s3:PutObject", "storage.s3.upload.complete": "s3:PutObject",
        "storage.s3.upload.abort": "s3:AbortMultipartUpload",
        "storage.s3.upload.list_parts": "s3:ListMultipartUploadParts",
        "storage.s3.upload.list": "s3:ListBucketMultipartUploads"
    }'::jsonb ->> p_operation;
    target text;
    verb text;
    noun text;
BEGIN
    IF named IS NOT NULL OR p_operation IS NULL THEN
        RETURN named;
    END IF;
    target := split_part(p_operation, '.', 3);
    verb := split_part(split_part(p_operation, '.', 4), '_', 1);
    noun := substr(split_part(p_operation, '.', 4), length(verb) + 2);
    RETURN CASE verb WHEN 'get' THEN 's3:Get' WHEN 'put' THEN 's3:Put' WHEN 'delete' THEN 's3:Put' END
        || CASE target
            WHEN 'bucket' THEN '{
                "acl": "BucketAcl", "policy": "BucketPolicy", "policy_status": "BucketPolicyStatus",
                "ownership": "BucketOwnershipControls", "public_access": "BucketPublicAccessBlock",
                "cors": "BucketCORS", "tagging": "BucketTagging", "versioning": "BucketVersioning",
                "location": "BucketLocation", "logging": "BucketLogging", "notification": "BucketNotification",
                "payment": "BucketRequestPayment", "website": "BucketWebsite",
                "object_lock": "BucketObjectLockConfiguration",
                "lifecycle": "LifecycleConfiguration", "encryption": "EncryptionConfiguration",
                "replication": "ReplicationConfiguration", "accelerate": "AccelerateConfiguration"
            }'::jsonb ->> noun
            WHEN 'object' THEN '{
                "acl": "ObjectAcl", "tagging": "ObjectTagging", "retention": "ObjectRetention",
                "legal_hold": "ObjectLegalHold", "attributes": "ObjectAttributes"
            }'::jsonb ->> noun
        END;
END
$$;

-- Is the action about the bucket, and not about a key in it?
CREATE FUNCTION rowlock.s3_concerns_bucket(p_action text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    RETURN p_action ~ 'Bucket|Configuration$';
END
$$;

-- The action of this statement on objects. p_default: what the statement does where no operation is set (psql).
CREATE FUNCTION rowlock.s3_action(p_default text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT CASE
            WHEN asked.request ->> 'version' IS NOT NULL
                THEN regexp_replace(asked.action, '^s3:(Get|Delete)Object(Attributes|Acl|Tagging)?$|^s3:(Put)Object(Acl|Tagging)$',
                    's3:\1\3ObjectVersion\2\4')
            ELSE asked.action
        END
        FROM (
            SELECT r.request,
                coalesce(r.request ->> 'action', rowlock.s3_action_of(current_setting('storage.operation', true)), p_default)
                    AS action
            FROM (SELECT rowlock.s3_request() AS request) AS r
        ) AS asked);
END
$$;

-- The permission of a bucket's ACL that allows the action, if one does
-- (https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#acl-access-policy-permission-mapping).
-- WRITE covers deletion and the parts of one's uploads, as it always did.
CREATE FUNCTION rowlock.s3_bucket_permission(p_action text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    RETURN CASE
        WHEN p_action IN ('s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads') THEN 'READ'
        WHEN p_action IN (
            's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts') THEN 'WRITE'
        WHEN p_action = 's3:GetBucketAcl' THEN 'READ_ACP'
        WHEN p_action = 's3:PutBucketAcl' THEN 'WRITE_ACP'
    END;
END
$$;

-- The permission of an object's ACL that allows the action; NULL where the bucket decides.
CREATE FUNCTION rowlock.s3_object_permission(p_action text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    RETURN CASE
        WHEN p_action ~ '^s3:GetObject(Version)?(Attributes)?$' THEN 'READ'
        WHEN p_action ~ '^s3:GetObject(Version)?Acl$' THEN 'READ_ACP'
        WHEN p_action ~ '^s3:PutObject(Version)?Acl$' THEN 'WRITE_ACP'
        WHEN rowlock.s3_concerns_bucket(p_action) OR rowlock.s3_bucket_permission(p_action) IS NOT NULL
            OR p_action = 's3:DeleteObjectVersion' THEN NULL
        ELSE 'FULL_CONTROL'
    END;
END
$$;

-- The grants any one of which gives the caller a permission, as documents an ACL may contain (acl @> grant).
CREATE FUNCTION rowlock.s3_grants(p_permission text, p_public boolean) RETURNS jsonb[]
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT coalesce(array_agg(jsonb_build_object('grants', jsonb_build_array(
            grantee.entry || jsonb_build_object('permission', permission.name)))), '{}')
        FROM (SELECT rowlock.s3_subject() AS subject) AS caller
        CROSS JOIN LATERAL (VALUES
            (jsonb_build_object('subject', caller.subject), caller.subject IS NOT NULL AND NOT p_public),
            ('{"group": "AllUsers"}', p_public),
            ('{"group": "AuthenticatedUsers"}', p_public AND caller.subject IS NOT NULL)) AS grantee (entry, counts)
        CROSS JOIN LATERAL (VALUES (p_permission), ('FULL_CONTROL')) AS permission (name)
        WHERE grantee.counts AND p_permission IS NOT NULL);
END
$$;

CREATE FUNCTION rowlock.s3_acl_allows(p_acl jsonb, p_permission text, p_ignore_public boolean) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN p_acl IS NOT NULL AND p_permission IS NOT NULL
        AND (p_acl @> ANY (rowlock.s3_grants(p_permission, false))
            OR (NOT p_ignore_public AND p_acl @> ANY (rowlock.s3_grants(p_permission, true))));
END
$$;

-- Bucket policies, in the normal form that gateway/access_policy compiles. ------------------------------------------

-- A pattern as LIKE reads it: text, or pieces of text and names of condition keys whose value stands there. NULL where
-- the request has no such value.
CREATE FUNCTION rowlock.s3_pattern(p_pattern jsonb, p_values jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
DECLARE
    piece jsonb;
    built text := '';
BEGIN
    IF jsonb_typeof(p_pattern) = 'string' THEN
        RETURN p_pattern #>> '{}';
    END IF;
    FOR piece IN SELECT jsonb_array_elements(p_pattern) LOOP
        built := built || CASE jsonb_typeof(piece)
            WHEN 'string' THEN piece #>> '{}'
            ELSE coalesce(
                regexp_replace(p_values -> (piece ->> 'key') ->> 0, '([\\%_])', '\\\1', 'g'),
                regexp_replace(piece ->> 'default', '([\\%_])', '\\\1', 'g'))
        END;
    END LOOP;
    RETURN built;
END
$$;

-- Does one value of the request fit one value of a condition?
CREATE FUNCTION rowlock.s3_value_matches(p_kind text, p_value text, p_wanted text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    IF p_value IS NULL OR p_wanted IS NULL THEN
        RETURN false;
    END IF;
    CASE p_kind
        WHEN 'like' THEN RETURN p_value LIKE p_wanted;
        WHEN 'ilike' THEN RETURN lower(p_value) LIKE lower(p_wanted);
        WHEN 'bool' THEN RETURN lower(p_value) = p_wanted;
        WHEN 'ip' THEN RETURN p_value::inet <<= p_wanted::cidr;
        WHEN 'number=', 'number<', 'number<=', 'number>', 'number>=' THEN
            IF p_value !~ '^-?[0-9]{1,30}(\.[0-9]{1,30})?$' THEN
                RETURN false;
            END IF;
            RETURN CASE substr(p_kind, 7)
                WHEN '=' THEN p_value::numeric = p_wanted::numeric
                WHEN '<' THEN p_value::numeric < p_wanted::numeric
                WHEN '<=' THEN p_value::numeric <= p_wanted::numeric
                WHEN '>' THEN p_value::numeric > p_wanted::numeric
                ELSE p_value::numeric >= p_wanted::numeric
            END;
        WHEN 'date=', 'date<', 'date<=', 'date>', 'date>=' THEN
            IF p_value !~ '^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:.]{8,15}(Z|\+00:00)$' THEN
                RETURN false;
            END IF;
            RETURN CASE substr(p_kind, 5)
                WHEN '=' THEN p_value::timestamptz = p_wanted::timestamptz
                WHEN '<' THEN p_value::timestamptz < p_wanted::timestamptz
                WHEN '<=' THEN p_value::timestamptz <= p_wanted::timestamptz
                WHEN '>' THEN p_value::timestamptz > p_wanted::timestamptz
                ELSE p_value::timestamptz >= p_wanted::timestamptz
            END;
        ELSE RETURN false;
    END CASE;
EXCEPTION WHEN invalid_text_representation OR invalid_datetime_format OR datetime_field_overflow THEN
    RETURN false;
END
$$;

-- https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html and
-- …/reference_policies_condition-single-vs-multi-valued-context-keys.html. p_found: the request's values of the
-- condition's key; NULL or empty when it has none.
CREATE FUNCTION rowlock.s3_condition_holds(p_condition jsonb, p_found jsonb, p_values jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
DECLARE
    kind text := p_condition ->> 'kind';
    negated boolean := (p_condition ->> 'negated')::boolean;
    present boolean := p_found IS NOT NULL AND jsonb_array_length(p_found) > 0;
    wanted text[];
    fits boolean;
    fitting integer := 0;
    total integer := 0;
    found text;
BEGIN
    IF kind = 'null' THEN
        RETURN present <> (p_condition -> 'values' ->> 0)::boolean;
    ELSIF NOT present THEN
        RETURN CASE p_condition ->> 'quantifier' WHEN 'all' THEN true WHEN 'any' THEN false
            ELSE negated OR (p_condition ->> 'if_exists')::boolean END;
    END IF;
    IF kind IN ('like', 'ilike') THEN
        wanted := ARRAY(SELECT rowlock.s3_pattern(pattern, p_values) FROM jsonb_array_elements(p_condition -> 'values') AS pattern);
    ELSE
        wanted := ARRAY(SELECT jsonb_array_elements_text(p_condition -> 'values'));
    END IF;
    FOR found IN SELECT jsonb_array_elements_text(p_found) LOOP
        fits := EXISTS (SELECT FROM unnest(wanted) AS one WHERE rowlock.s3_value_matches(kind, found, one)) <> negated;
        total := total + 1;
        fitting := fitting + fits::integer;
    END LOOP;
    -- Without a quantifier one value is expected; should there be several, a negated operator must hold for all.
    RETURN CASE p_condition ->> 'quantifier' WHEN 'all' THEN fitting = total WHEN 'any' THEN fitting > 0
        ELSE CASE WHEN negated THEN fitting = total ELSE fitting > 0 END END;
END
$$;

-- What statements of a policy say about an action of this caller: one rule for each that applies, with what is left to be
-- asked of a row. {"all": true}: every key, or the bucket itself where the action concerns that.
CREATE FUNCTION rowlock.s3_rules(
    p_policy jsonb, p_effect text, p_action text, p_subject text, p_values jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
DECLARE
    statement jsonb;
    principal jsonb;
    concerns_bucket constant boolean := rowlock.s3_concerns_bucket(p_action);
    rules jsonb := '[]';
    rule jsonb;
    patterns text[];
BEGIN
    FOR statement IN
        SELECT s FROM jsonb_array_elements(p_policy -> 'statements') AS s WHERE s ->> 'effect' = p_effect
    LOOP
        principal := statement -> 'principal';
        CONTINUE WHEN NOT (
            coalesce((principal ->> 'everyone')::boolean, false)
            OR coalesce(principal -> 'subjects' ? p_subject, false)
            OR (principal ? 'except' AND NOT coalesce(principal -> 'except' ? p_subject, false)));
        CONTINUE WHEN EXISTS (
            SELECT FROM jsonb_array_elements_text(statement -> 'actions') AS pattern WHERE lower(p_action) LIKE pattern
        ) = (statement ->> 'except_actions')::boolean;
        CONTINUE WHEN EXISTS (
            SELECT FROM jsonb_array_elements(statement -> 'conditions') AS c
            -- a bucket has no object's tags: there the key is one that the request lacks
            WHERE (concerns_bucket OR NOT c ->> 'key' LIKE 's3:existingobjecttag/%')
                AND rowlock.s3_condition_holds(c, p_values -> (c ->> 'key'), p_values) IS NOT TRUE);
        IF concerns_bucket THEN
            CONTINUE WHEN NOT (statement ->> 'bucket')::boolean;
            rule := '{"all": true}';
        ELSIF (statement ->> 'all_keys')::boolean THEN
            CONTINUE WHEN (statement ->> 'except_resources')::boolean;
            rule := '{"all": true}';
        ELSE
            patterns := ARRAY(
                SELECT made.pattern
                FROM jsonb_array_elements(statement -> 'keys') AS given
                CROSS JOIN LATERAL (SELECT rowlock.s3_pattern(given, p_values) AS pattern) AS made
                WHERE made.pattern IS NOT NULL);
            rule := jsonb_build_object('keys', to_jsonb(patterns), 'except', statement -> 'except_resources');
        END IF;
        rules := rules || jsonb_build_array(rule || jsonb_build_object('conditions', (
            SELECT coalesce(jsonb_agg(c), '[]') FROM jsonb_array_elements(statement -> 'conditions') AS c
            WHERE NOT concerns_bucket AND c ->> 'key' LIKE 's3:existingobjecttag/%')));
    END LOOP;
    RETURN rules;
END
$$;

-- Is there a rule that needs nothing of a row?
CREATE FUNCTION rowlock.s3_rules_cover_all(p_rules jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    RETURN EXISTS (
        SELECT FROM jsonb_array_elements(p_rules) AS r WHERE r ? 'all' AND jsonb_array_length(r -> 'conditions') = 0);
END
$$;

-- Does one of these rules apply to this object? NULL rules: no.
CREATE FUNCTION rowlock.s3_rules_match(p_rules jsonb, p_name text, p_tags jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
DECLARE
    rule jsonb;
BEGIN
    FOR rule IN SELECT jsonb_array_elements(p_rules) LOOP
        CONTINUE WHEN NOT rule ? 'all' AND EXISTS (
            SELECT FROM jsonb_array_elements_text(rule -> 'keys') AS pattern WHERE p_name LIKE pattern
        ) = (rule ->> 'except')::boolean;
        CONTINUE WHEN EXISTS (
            SELECT FROM jsonb_array_elements(rule -> 'conditions') AS c
            CROSS JOIN LATERAL (SELECT p_tags ->> substr(c ->> 'key', 22) AS value) AS tag
            WHERE rowlock.s3_condition_holds(
                c, CASE WHEN tag.value IS NOT NULL THEN jsonb_build_array(tag.value) END, '{}') IS NOT TRUE);
        RETURN true;
    END LOOP;
    RETURN false;
END
$$;

-- Buckets. ----------------------------------------------------------------------------------------------------------

-- The facts S3's rules rest on, of the bucket the request is about, or of every bucket that might matter to the caller.
CREATE FUNCTION rowlock.s3_buckets_in_question(p_subject text, p_bucket text)
RETURNS TABLE (id text, owner_id text, acl jsonb, ownership text, public_access_block jsonb, policy jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    IF p_bucket IS NOT NULL THEN
        RETURN QUERY
            SELECT b.id, b.owner_id, b.acl, found.ownership, coalesce(found.public_access_block, '{}'), found.policy
            FROM storage.buckets AS b
            CROSS JOIN LATERAL (
                SELECT max(c.document ->> 'object_ownership') AS ownership,
                    (array_agg(c.document) FILTER (WHERE c.kind = 'public_access_block'))[1] AS public_access_block,
                    (array_agg(c.document) FILTER (WHERE c.kind = 'policy'))[1] AS policy
                FROM storage.bucket_configurations AS c
                WHERE c.bucket_id = p_bucket AND c.kind IN ('ownership', 'policy', 'public_access_block')) AS found
            WHERE b.id = p_bucket;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT b.id, b.owner_id, b.acl, o.document ->> 'object_ownership', coalesce(a.document, '{}'), p.document
        FROM storage.buckets AS b
        LEFT JOIN storage.bucket_configurations AS o ON o.bucket_id = b.id AND o.kind = 'ownership'
        LEFT JOIN storage.bucket_configurations AS a ON a.bucket_id = b.id AND a.kind = 'public_access_block'
        LEFT JOIN storage.bucket_configurations AS p ON p.bucket_id = b.id AND p.kind = 'policy'
        WHERE b.id IN (
            SELECT mine.id FROM storage.buckets AS mine WHERE mine.owner_id = p_subject
            UNION ALL SELECT shared.id FROM storage.buckets AS shared WHERE shared.acl IS NOT NULL
            UNION ALL SELECT c.bucket_id FROM storage.bucket_configurations AS c WHERE c.kind = 'policy');
END
$$;

-- Statements of a policy that allow something; none while a public policy is restricted to the owner.
CREATE FUNCTION rowlock.s3_allowing(
    p_policy jsonb, p_block jsonb, p_mine boolean, p_action text, p_subject text, p_values jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN CASE
        WHEN p_policy IS NULL THEN '[]'::jsonb
        WHEN NOT p_mine AND coalesce((p_block ->> 'restrict_public_buckets')::boolean, false)
            AND (p_policy ->> 'public')::boolean THEN '[]'::jsonb
        ELSE rowlock.s3_rules(p_policy, 'Allow', p_action, p_subject, p_values)
    END;
END
$$;

-- Buckets in which the caller may do the action with every key, or with the bucket itself.
CREATE FUNCTION rowlock.s3_open(p_action text, p_values jsonb) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
DECLARE
    subject constant text := rowlock.s3_subject();
    permission constant text := rowlock.s3_bucket_permission(p_action);
    by_object constant boolean := rowlock.s3_object_permission(p_action) IS NOT NULL;
    bucket record;
    mine boolean;
    enforced boolean;
    found text[] := '{}';
BEGIN
    FOR bucket IN SELECT * FROM rowlock.s3_buckets_in_question(subject, rowlock.s3_request() ->> 'bucket') LOOP
        mine := coalesce(bucket.owner_id = subject, false);
        enforced := coalesce(bucket.ownership = 'BucketOwnerEnforced', false);
        IF (CASE
            WHEN by_object THEN mine AND enforced
            -- An owner's listing and writing follow the ACL as anybody's; all else of a bucket is always its owner's.
            WHEN mine THEN enforced OR bucket.acl IS NULL
                OR NOT (p_action = 's3:PutObject' OR coalesce(permission = 'READ', false))
                OR rowlock.s3_acl_allows(bucket.acl, permission, false)
            ELSE NOT enforced AND rowlock.s3_acl_allows(
                bucket.acl, permission, coalesce((bucket.public_access_block ->> 'ignore_public_acls')::boolean, false))
        END) OR rowlock.s3_rules_cover_all(rowlock.s3_allowing(
            bucket.policy, bucket.public_access_block, mine, p_action, subject, p_values))
        THEN
            found := found || bucket.id;
        END IF;
    END LOOP;
    RETURN found;
END
$$;

-- The values of condition keys for the question whether the caller may list, put while it asks for something else.
CREATE FUNCTION rowlock.s3_listing_values(p_request jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS
$$
BEGIN
    RETURN coalesce(p_request -> 'values', '{}') || coalesce(p_request -> 'listing', '{}');
END
$$;

-- Asked by the policies of storage.objects: buckets open as a whole.
CREATE FUNCTION rowlock.s3_open_for_objects(p_default text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
DECLARE
    action constant text := rowlock.s3_action(p_default);
    request constant jsonb := rowlock.s3_request();
    found constant text[] := rowlock.s3_open(action, coalesce(request -> 'values', '{}'));
BEGIN
    -- Otherwise a listing would read a bucket to its end to find that the caller may see none of it.
    IF found = '{}' AND request ? 'bucket' AND action IN ('s3:ListBucket', 's3:ListBucketVersions')
        AND current_setting('role') = 's3_account'
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'this account may not list the bucket';
    END IF;
    RETURN found;
END
$$;

-- The action on a bucket's row: an operation on objects asks for the bucket only to tell a missing key from a hidden one.
CREATE FUNCTION rowlock.s3_bucket_action(p_default text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT CASE WHEN rowlock.s3_concerns_bucket(asked.action) AND rowlock.s3_request() ->> 'action' IS NULL
            THEN asked.action ELSE 's3:ListBucket' END
        FROM (SELECT rowlock.s3_action(p_default) AS action) AS asked);
END
$$;

CREATE FUNCTION rowlock.s3_open_for_buckets(p_default text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT CASE WHEN asked.action = 's3:ListAllMyBuckets' THEN '{}'::text[]
            ELSE rowlock.s3_open(asked.action, rowlock.s3_listing_values(rowlock.s3_request())) END
        FROM (SELECT rowlock.s3_bucket_action(p_default) AS action) AS asked);
END
$$;

-- The one kind of configuration an operation is about; NULL: any.
CREATE FUNCTION rowlock.s3_kind() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT CASE noun WHEN 'public_access' THEN 'public_access_block' WHEN 'payment' THEN 'request_payment'
            WHEN 'policy_status' THEN 'policy' ELSE noun END
        FROM (SELECT substring(current_setting('storage.operation', true) FROM '^storage\.s3\.bucket\.[a-z]+_(.*)$')) AS s (noun));
END
$$;

-- Denials. ----------------------------------------------------------------------------------------------------------

-- Rules that deny the action, by bucket. A bucket's owner cannot lock itself out of the policy
-- (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html).
CREATE FUNCTION rowlock.s3_denials(p_action text, p_values jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
DECLARE
    subject constant text := rowlock.s3_subject();
    bucket record;
    rules jsonb;
    found jsonb := '{}';
BEGIN
    FOR bucket IN SELECT * FROM rowlock.s3_buckets_in_question(subject, rowlock.s3_request() ->> 'bucket') LOOP
        CONTINUE WHEN bucket.policy IS NULL OR NOT bucket.policy @> '{"statements": [{"effect": "Deny"}]}';
        CONTINUE WHEN bucket.owner_id = subject AND NOT coalesce((bucket.policy ->> 'binds_owner')::boolean, false)
            AND p_action IN ('s3:GetBucketPolicy', 's3:PutBucketPolicy', 's3:DeleteBucketPolicy');
        rules := rowlock.s3_rules(bucket.policy, 'Deny', p_action, subject, p_values);
        IF rules <> '[]' THEN
            found := found || jsonb_build_object(bucket.id, rules);
        END IF;
    END LOOP;
    RETURN found;
END
$$;

CREATE FUNCTION rowlock.s3_object_denials(p_default text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN rowlock.s3_denials(rowlock.s3_action(p_default), coalesce(rowlock.s3_request() -> 'values', '{}'));
END
$$;

CREATE FUNCTION rowlock.s3_denying_for_objects(p_default text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN ARRAY(SELECT jsonb_object_keys(rowlock.s3_object_denials(p_default)));
END
$$;

CREATE FUNCTION rowlock.s3_denying_for_buckets(p_default text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN ARRAY(SELECT jsonb_object_keys(rowlock.s3_denials(
        rowlock.s3_bucket_action(p_default), rowlock.s3_listing_values(rowlock.s3_request()))));
END
$$;

-- Single objects. ---------------------------------------------------------------------------------------------------

-- Rules of policies that allow the action for some keys, by bucket.
CREATE FUNCTION rowlock.s3_key_rules(p_default text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
DECLARE
    subject constant text := rowlock.s3_subject();
    action constant text := rowlock.s3_action(p_default);
    request constant jsonb := rowlock.s3_request();
    bucket record;
    rules jsonb;
    found jsonb := '{}';
BEGIN
    FOR bucket IN SELECT * FROM rowlock.s3_buckets_in_question(subject, request ->> 'bucket') LOOP
        CONTINUE WHEN bucket.policy IS NULL;
        rules := rowlock.s3_allowing(
            bucket.policy, bucket.public_access_block, coalesce(bucket.owner_id = subject, false), action, subject,
            coalesce(request -> 'values', '{}'));
        IF rules <> '[]' THEN
            found := found || jsonb_build_object(bucket.id, rules);
        END IF;
    END LOOP;
    RETURN found;
END
$$;

-- The caller, where an object's owner is what counts for the action; and its own buckets, whose ownerless objects
-- (written by the service role, by nobody, or by hand) are its own.
CREATE FUNCTION rowlock.s3_owner_for(p_default text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN CASE WHEN rowlock.s3_object_permission(rowlock.s3_action(p_default)) IS NOT NULL THEN rowlock.s3_subject() END;
END
$$;

-- The caller, where an object's owner may do the action whatever its ACL says: all but reading it.
CREATE FUNCTION rowlock.s3_owner_always(p_default text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN CASE WHEN rowlock.s3_object_permission(rowlock.s3_action(p_default)) <> 'READ' THEN rowlock.s3_subject() END;
END
$$;

CREATE FUNCTION rowlock.s3_own_buckets(p_default text) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT coalesce(array_agg(b.id), '{}')
        FROM storage.buckets AS b
        WHERE b.owner_id = rowlock.s3_owner_for(p_default)
            AND b.id = coalesce(rowlock.s3_request() ->> 'bucket', b.id));
END
$$;

CREATE FUNCTION rowlock.s3_object_grants(p_default text, p_public boolean) RETURNS jsonb[]
LANGUAGE plpgsql STABLE SET search_path = '' AS
$$
BEGIN
    RETURN rowlock.s3_grants(rowlock.s3_object_permission(rowlock.s3_action(p_default)), p_public);
END
$$;

-- Buckets whose objects' ACLs and owners do not count, and those whose public grants do not.
CREATE FUNCTION rowlock.s3_without_acls(p_public boolean) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT coalesce(array_agg(c.bucket_id), '{}')
        FROM storage.bucket_configurations AS c
        WHERE CASE WHEN p_public
                THEN c.kind = 'public_access_block' AND (c.document ->> 'ignore_public_acls')::boolean
                ELSE c.kind = 'ownership' AND c.document ->> 'object_ownership' = 'BucketOwnerEnforced'
            END
            AND c.kind IN ('ownership', 'public_access_block')
            AND c.bucket_id = coalesce(rowlock.s3_request() ->> 'bucket', c.bucket_id));
END
$$;

-- The owner of a bucket, for the check that nobody writes in a third one's name.
CREATE FUNCTION rowlock.s3_bucket_owner(p_bucket text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
$$
BEGIN
    RETURN (
        SELECT b.owner_id FROM storage.buckets AS b WHERE b.id = p_bucket);
END
$$;

ALTER FUNCTION rowlock.s3_buckets_in_question(text, text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.s3_own_buckets(text) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.s3_without_acls(boolean) OWNER TO rowlock_engine;
ALTER FUNCTION rowlock.s3_bucket_owner(text) OWNER TO rowlock_engine;
