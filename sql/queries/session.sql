-- name: set_scope
-- The scope of a transaction (DESIGN §4): everything is transaction-local, so nothing outlives it on a pooled connection.
SELECT
    set_config('search_path', 'pg_catalog, storage, public, extensions, pg_temp', true),
    set_config('statement_timeout', %(statement_timeout)s::text, true),
    set_config('lock_timeout', %(lock_timeout)s::text, true),
    -- 200 means durable, whatever a database or role was given for a default; stricter levels stay
    set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true),
    set_config('request.jwt.claims', %(claims_json)s::text, true),
    set_config('request.jwt.claim.sub', %(subject)s::text, true),
    set_config('request.jwt.claim.role', %(role)s::text, true),
    set_config('request.headers', %(headers_json)s::text, true),
    set_config('request.method', %(method)s::text, true),
    set_config('request.path', %(path)s::text, true),
    set_config('storage.operation', %(operation)s::text, true),
    set_config('rowlock.request_id', %(request_id)s::text, true),
    set_config('rowlock.access_key_id', %(access_key_id)s::text, true),
    set_config('rowlock.client_address', %(client_address)s::text, true),
    set_config('role', %(role)s::text, true);
