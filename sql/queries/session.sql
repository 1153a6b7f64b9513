-- name: set_scope
-- The scope of a transaction (DESIGN §4): everything is transaction-local, so nothing outlives it on a shared connection.
-- One number instead of sixteen columns: what was set is not sent back. Functions are named in full, because this
-- statement is parsed before search_path is.
SELECT pg_catalog.num_nulls(
    pg_catalog.set_config('search_path', 'pg_catalog, storage, public, extensions, pg_temp', true),
    pg_catalog.set_config('statement_timeout', %(statement_timeout)s::text, true),
    pg_catalog.set_config('lock_timeout', %(lock_timeout)s::text, true),
    -- 200 means durable, whatever a database or role was given for a default; stricter levels stay
    pg_catalog.set_config(
        'synchronous_commit',
        pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), 'off', 'on'), true),
    pg_catalog.set_config('request.jwt.claims', %(claims_json)s::text, true),
    pg_catalog.set_config('request.jwt.claim.sub', %(subject)s::text, true),
    pg_catalog.set_config('request.jwt.claim.role', %(role)s::text, true),
    pg_catalog.set_config('request.headers', %(headers_json)s::text, true),
    pg_catalog.set_config('request.method', %(method)s::text, true),
    pg_catalog.set_config('request.path', %(path)s::text, true),
    pg_catalog.set_config('storage.operation', %(operation)s::text, true),
    pg_catalog.set_config('rowlock.request_id', %(request_id)s::text, true),
    pg_catalog.set_config('rowlock.access_key_id', %(access_key_id)s::text, true),
    pg_catalog.set_config('rowlock.client_address', %(client_address)s::text, true),
    pg_catalog.set_config('rowlock.s3_request', %(s3_request_json)s::text, true),
    pg_catalog.set_config('role', %(role)s::text, true));

-- name: backend_process
-- Behind a connection pooler this is not the process id the connection was told.
SELECT pg_catalog.pg_backend_pid();

-- name: probe_prepared
-- Sent as the first prepared statement of a connection: does the server know it by the name the driver gave it? A
-- pooler that follows prepared statements gives names of its own.
SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements AS s WHERE s.name = '_pg3_0');

-- name: forget_prepared
DEALLOCATE _pg3_0;
