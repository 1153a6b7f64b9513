-- The registry's reader and writer is the gateway's login itself, before it takes any role: none of the roles that
-- policies run as gets a right here.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rowlock_gateway') THEN
        CREATE ROLE rowlock_gateway NOLOGIN NOINHERIT;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    -- another database of this server is being migrated at the same moment
    NULL;
END
$$;
GRANT USAGE ON SCHEMA control TO rowlock_gateway;
GRANT SELECT, INSERT, UPDATE ON control.access_keys TO rowlock_gateway;
