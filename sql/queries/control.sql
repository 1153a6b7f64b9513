-- name: act_as
-- Who the audit says did it; of this transaction only.
select pg_catalog.num_nulls(
    pg_catalog.set_config('rowlock.actor', %(actor)s::text, true),
    pg_catalog.set_config('rowlock.client_address', %(client_address)s::text, true),
    pg_catalog.set_config('rowlock.request_id', %(request_id)s::text, true));

-- name: find_access_key
-- A key that may be used now: neither revoked nor expired.
select access_key_id, secret, role, subject, display_name, claims, description, created_at, expires_at, revoked_at,
    tenant_id, buckets, prefix, read_only
from control.access_keys
where access_key_id = %(access_key_id)s
  and revoked_at is null
  and (expires_at is null or expires_at > now());

-- name: list_access_keys
-- A page of a tenant's keys without their secrets, in order of the id.
select access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at,
    tenant_id, buckets, prefix, read_only
from control.access_keys
where access_key_id > %(after)s and tenant_id = %(tenant)s
order by access_key_id
limit %(limit)s;

-- name: create_access_key
-- No row comes back when the id is taken: a revoked id is never given out again. Nor when there is no such tenant.
insert into control.access_keys
    (access_key_id, secret, role, subject, display_name, claims, description, expires_at,
     tenant_id, buckets, prefix, read_only)
select %(access_key_id)s, %(secret)s, %(role)s, %(subject)s, %(display_name)s, %(claims)s::jsonb, %(description)s,
    %(expires_at)s::timestamptz, t.id, %(buckets)s::text[], %(prefix)s, %(read_only)s
from control.tenants as t where t.id = %(tenant)s and t.status <> 'deleted'
on conflict (access_key_id) do nothing
returning access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at,
    tenant_id, buckets, prefix, read_only;

-- name: put_access_key
-- The operator's own key: what the settings say holds, whatever the row was. The key of another tenant is left alone.
insert into control.access_keys as k
    (access_key_id, secret, role, subject, display_name, claims, description, expires_at,
     tenant_id, buckets, prefix, read_only)
values
    (%(access_key_id)s, %(secret)s, %(role)s, %(subject)s, %(display_name)s, %(claims)s::jsonb, %(description)s,
     %(expires_at)s, %(tenant)s, %(buckets)s::text[], %(prefix)s, %(read_only)s)
on conflict (access_key_id) do update
set secret = excluded.secret, role = excluded.role, subject = excluded.subject,
    display_name = excluded.display_name, claims = excluded.claims, description = excluded.description,
    expires_at = excluded.expires_at, revoked_at = null,
    buckets = excluded.buckets, prefix = excluded.prefix, read_only = excluded.read_only
where k.tenant_id = excluded.tenant_id
returning access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at,
    tenant_id, buckets, prefix, read_only;

-- name: rotate_access_key
-- A new secret for a key that is in use.
update control.access_keys
set secret = %(secret)s
where access_key_id = %(access_key_id)s and tenant_id = %(tenant)s and revoked_at is null
returning access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at,
    tenant_id, buckets, prefix, read_only;

-- name: revoke_access_key
-- No row comes back when the tenant has no such key; revoking twice keeps the first time.
update control.access_keys
set revoked_at = coalesce(revoked_at, now())
where access_key_id = %(access_key_id)s and tenant_id = %(tenant)s
returning access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at,
    tenant_id, buckets, prefix, read_only;
