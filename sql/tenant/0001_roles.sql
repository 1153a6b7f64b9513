-- Roles and schemas. Roles belong to the whole Postgres server, so each is made only where it is missing.
--
--   anon, authenticated   what callers act as; row-level security decides
--   s3_account            an S3 account: owns the buckets it makes; ACLs and bucket policies decide (0016)
--   service_role          the tenant's own back end; sees everything
--   rowlock_engine        owns the functions that must see past row-level security
--   rowlock_gateway       what the gateway logs in as; has no rights of its own, may become one of the others

DO $$
DECLARE
    me pg_catalog.pg_roles := (SELECT r FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user);
    -- Since Postgres 16 who creates a role is a member of it that may not become it: membership alone says nothing.
    may_become text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'anon', 'authenticated', 's3_account', 'service_role', 'rowlock_engine', 'rowlock_gateway'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
                IF (me.rolsuper OR me.rolbypassrls) AND wanted IN ('service_role', 'rowlock_engine') THEN
                    EXECUTE format('ALTER ROLE %I BYPASSRLS', wanted);
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- another database of this server is being migrated at the same moment
                NULL;
            END;
        END IF;
    END LOOP;
    -- Only what is missing is granted: a concurrent GRANT of the same membership fails with "tuple concurrently updated".
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('rowlock roles', 0));
    FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 's3_account', 'service_role', 'rowlock_engine'] LOOP
        IF NOT pg_catalog.pg_has_role('rowlock_gateway', wanted, may_become) THEN
            EXECUTE format('GRANT %I TO rowlock_gateway', wanted);
        END IF;
    END LOOP;
    -- Where one login does everything (DATABASE_URL of an ordinary user), it must be able to act as the gateway.
    IF NOT pg_catalog.pg_has_role(current_user, 'rowlock_gateway', may_become) THEN
        EXECUTE format('GRANT rowlock_gateway TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING MESSAGE = SQLERRM, HINT = format(
        'run `rowlock db migrate` once with DATABASE_URL of a superuser, then GRANT rowlock_gateway TO %I', current_user);
END
$$;

CREATE SCHEMA IF NOT EXISTS storage;
CREATE SCHEMA IF NOT EXISTS rowlock;
CREATE SCHEMA IF NOT EXISTS auth;
GRANT USAGE ON SCHEMA storage, rowlock, auth TO anon, authenticated, s3_account, service_role, rowlock_engine;
-- A login that is only a member of rowlock_gateway finds out here whether the schema is the one it knows.
GRANT USAGE ON SCHEMA rowlock TO rowlock_gateway;
GRANT SELECT ON rowlock.migrations TO rowlock_gateway;
-- An owner of functions needs it.
GRANT CREATE ON SCHEMA rowlock TO rowlock_engine;

-- What policies written for Supabase call. Left alone where Supabase's own exist.
DO $$
BEGIN
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE SET search_path = '' AS
        $f$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $f$;
    END IF;
    IF to_regprocedure('auth.role()') IS NULL THEN
        CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE SET search_path = '' AS
        $f$ SELECT nullif(current_setting('request.jwt.claim.role', true), '') $f$;
    END IF;
    IF to_regprocedure('auth.jwt()') IS NULL THEN
        CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE SET search_path = '' AS
        $f$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $f$;
    END IF;
    IF to_regprocedure('auth.email()') IS NULL THEN
        CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE SET search_path = '' AS
        $f$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email' $f$;
    END IF;
END
$$;
