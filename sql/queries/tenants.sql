-- name: find_tenant
-- A tenant that may be used now.
select t.id, t.status, t.description, t.region, t.jwks_url, t.jwt_audience, t.jwt_issuer,
    t.limits, t.features, t.backends, t.revision, t.created_at, t.updated_at,
    array(select h.host from control.tenant_hosts as h where h.tenant_id = t.id order by h.host) as hosts,
    t.database_url, t.owner_url, t.pool_url, t.jwt_secret
from control.tenants as t
where t.id = %(id)s and t.status = 'active' and t.database_url is not null;

-- name: read_tenant
-- A tenant, whatever its status.
select t.id, t.status, t.description, t.region, t.jwks_url, t.jwt_audience, t.jwt_issuer,
    t.limits, t.features, t.backends, t.revision, t.created_at, t.updated_at,
    array(select h.host from control.tenant_hosts as h where h.tenant_id = t.id order by h.host) as hosts,
    t.database_url, t.owner_url, t.pool_url, t.jwt_secret
from control.tenants as t
where t.id = %(id)s and t.status <> 'deleted' and t.database_url is not null;

-- name: find_tenant_of_host
select h.tenant_id from control.tenant_hosts as h where h.host = %(host)s;

-- name: list_tenants
-- A page of tenants without their secrets, in order of the id.
select t.id, t.status, t.description, t.region, t.jwks_url, t.jwt_audience, t.jwt_issuer,
    t.limits, t.features, t.backends, t.revision, t.created_at, t.updated_at,
    array(select h.host from control.tenant_hosts as h where h.tenant_id = t.id order by h.host) as hosts
from control.tenants as t
where t.id > %(after)s and t.status <> 'deleted' and t.database_url is not null
order by t.id
limit %(limit)s;

-- name: create_tenant
-- No row comes back when the id is or was in use.
insert into control.tenants as t
    (id, description, region, database_url, owner_url, pool_url, jwt_secret, jwks_url, jwt_audience, jwt_issuer,
     limits, features, backends)
values
    (%(id)s, %(description)s, %(region)s, %(database_url)s, %(owner_url)s, %(pool_url)s, %(jwt_secret)s,
     %(jwks_url)s, %(jwt_audience)s, %(jwt_issuer)s, %(limits)s::jsonb, %(features)s::jsonb, %(backends)s::jsonb)
on conflict (id) do nothing
returning t.id;

-- name: update_tenant
-- Each value with a flag that says whether it is to be changed.
update control.tenants as t set
    description = case when %(set_description)s then %(description)s else t.description end,
    region = case when %(set_region)s then %(region)s else t.region end,
    database_url = case when %(set_database_url)s then %(database_url)s else t.database_url end,
    owner_url = case when %(set_owner_url)s then %(owner_url)s else t.owner_url end,
    pool_url = case when %(set_pool_url)s then %(pool_url)s else t.pool_url end,
    jwt_secret = case when %(set_jwt_secret)s then %(jwt_secret)s else t.jwt_secret end,
    jwks_url = case when %(set_jwks_url)s then %(jwks_url)s else t.jwks_url end,
    jwt_audience = case when %(set_jwt_audience)s then %(jwt_audience)s else t.jwt_audience end,
    jwt_issuer = case when %(set_jwt_issuer)s then %(jwt_issuer)s else t.jwt_issuer end,
    limits = case when %(set_limits)s then %(limits)s::jsonb else t.limits end,
    features = case when %(set_features)s then %(features)s::jsonb else t.features end,
    backends = case when %(set_backends)s then %(backends)s::jsonb else t.backends end
where t.id = %(id)s and t.status <> 'deleted' and t.database_url is not null
returning t.id;

-- name: put_hosts
select control.put_hosts(%(id)s, %(hosts)s::text[]);

-- name: set_tenant_status
update control.tenants as t set status = %(status)s
where t.id = %(id)s and t.status <> 'deleted' and t.database_url is not null
returning t.id;

-- name: delete_tenant
-- The id stays taken, so that nobody inherits what is left in its directory; its keys and secrets end with it.
with gone as (
    update control.tenants as t
    set status = 'deleted', database_url = null, owner_url = null, pool_url = null, jwt_secret = null
    where t.id = %(id)s and t.status <> 'deleted' and t.database_url is not null
    returning t.id
), keys as (
    update control.access_keys as k set revoked_at = coalesce(k.revoked_at, now())
    from gone where k.tenant_id = gone.id
), hosts as (
    delete from control.tenant_hosts as h using gone where h.tenant_id = gone.id
), jwks as (
    delete from control.jwks as j using gone where j.tenant_id = gone.id
)
select gone.id from gone;

-- name: list_jwks
select j.kid, j.algorithm, j.signing, j.created_at, j.jwk
from control.jwks as j where j.tenant_id = %(tenant)s order by j.created_at, j.kid;

-- name: add_jwk
-- No row comes back when the key id is taken, or when there is no such tenant.
insert into control.jwks as j (tenant_id, kid, algorithm, jwk, signing)
select t.id, %(kid)s, %(algorithm)s, %(jwk)s,
    not exists (select from control.jwks as other where other.tenant_id = t.id and other.signing)
from control.tenants as t where t.id = %(tenant)s and t.status <> 'deleted'
on conflict (tenant_id, kid) do nothing
returning j.kid, j.algorithm, j.signing, j.created_at;

-- name: roll_jwk
-- This key signs from now on; those before it verify until they are removed. No row when there is no such key.
select j.kid, j.algorithm, j.signing, j.created_at from control.roll_jwk(%(tenant)s, %(kid)s) as j;

-- name: remove_jwk
delete from control.jwks as j where j.tenant_id = %(tenant)s and j.kid = %(kid)s returning j.kid;

-- name: audit_page
-- The newest first.
select a.id, a.at, a.actor, a.client_address, a.request_id, a.tenant_id, a.action, a.target, a.changed
from control.audit as a
where a.id < %(before)s and (%(tenant)s::text is null or a.tenant_id = %(tenant)s)
order by a.id desc
limit %(limit)s;

-- name: record_act
select control.record(%(tenant)s, %(action)s, %(target)s, '{}');

-- name: migration_state
select m.status, m.fingerprint, m.version, m.attempts, m.error, m.started_at, m.finished_at, m.retry_at,
    m.retry_at is null or m.retry_at <= now() as due
from control.tenant_migrations as m where m.tenant_id = %(tenant)s;

-- name: migration_states
-- A page of tenants with where their databases stand.
select t.id, m.status, m.fingerprint, m.version, coalesce(m.attempts, 0), m.error, m.started_at, m.finished_at, m.retry_at
from control.tenants as t
left join control.tenant_migrations as m on m.tenant_id = t.id
where t.id > %(after)s and t.status <> 'deleted' and t.database_url is not null
order by t.id
limit %(limit)s;

-- name: begin_migration
insert into control.tenant_migrations as m (tenant_id, status, fingerprint, attempts)
values (%(tenant)s, 'running', %(fingerprint)s, 1)
on conflict (tenant_id) do update
set status = 'running', fingerprint = excluded.fingerprint, started_at = now(), finished_at = null, error = null,
    attempts = case when m.status = 'current' then 1 else m.attempts + 1 end,
    -- a migrator that died is taken over after this while
    retry_at = now() + interval '2 minutes'
returning m.attempts;

-- name: finish_migration
update control.tenant_migrations as m
set status = 'current', version = %(version)s, finished_at = now(), attempts = 0, error = null, retry_at = null
where m.tenant_id = %(tenant)s and m.fingerprint = %(fingerprint)s;

-- name: fail_migration
update control.tenant_migrations as m
set status = 'failed', error = %(error)s, finished_at = now(), retry_at = now() + make_interval(secs => %(pause_seconds)s)
where m.tenant_id = %(tenant)s and m.fingerprint = %(fingerprint)s;

-- name: retry_migration
update control.tenant_migrations as m set retry_at = now()
where m.tenant_id = %(tenant)s and m.status = 'failed'
returning m.tenant_id;

-- name: stale_access_keys
-- Secrets sealed with another master key than the one in use; bytes 2 to 9 are its id (gateway/tenants/secrets.py).
select k.tenant_id, k.access_key_id, k.secret from control.access_keys as k
where substring(k.secret from 2 for 8) <> %(key_id)s and k.access_key_id > %(after)s
order by k.access_key_id limit %(limit)s;

-- name: reseal_access_key
-- Only what is still as it was read: somebody may have replaced it meanwhile.
update control.access_keys as k set secret = %(sealed)s where k.access_key_id = %(row)s and k.secret = %(before)s
returning true;

-- name: stale_tenants
select t.id, t.database_url, t.owner_url, t.pool_url, t.jwt_secret from control.tenants as t
where t.id > %(after)s and (
    substring(t.database_url from 2 for 8) <> %(key_id)s or substring(t.owner_url from 2 for 8) <> %(key_id)s
    or substring(t.pool_url from 2 for 8) <> %(key_id)s or substring(t.jwt_secret from 2 for 8) <> %(key_id)s)
order by t.id limit %(limit)s;

-- name: reseal_tenant
update control.tenants as t set
    database_url = %(database_url)s, owner_url = %(owner_url)s, pool_url = %(pool_url)s, jwt_secret = %(jwt_secret)s
where t.id = %(row)s
  and (t.database_url, t.owner_url, t.pool_url, t.jwt_secret) is not distinct from (
    %(database_url_before)s::bytea, %(owner_url_before)s::bytea, %(pool_url_before)s::bytea, %(jwt_secret_before)s::bytea)
returning true;

-- name: stale_jwks
select j.tenant_id, j.kid, j.jwk from control.jwks as j
where substring(j.jwk from 2 for 8) <> %(key_id)s and (j.tenant_id, j.kid) > (%(after_tenant)s, %(after_kid)s)
order by j.tenant_id, j.kid limit %(limit)s;

-- name: reseal_jwk
update control.jwks as j set jwk = %(sealed)s
where j.tenant_id = %(tenant)s and j.kid = %(row)s and j.jwk = %(before)s
returning true;

-- name: sealed_by
-- How many secrets each master key has sealed.
select encode(substring(s.sealed from 2 for 8), 'hex'), count(*)
from (
    select k.secret from control.access_keys as k
    union all select t.database_url from control.tenants as t
    union all select t.owner_url from control.tenants as t
    union all select t.pool_url from control.tenants as t
    union all select t.jwt_secret from control.tenants as t
    union all select j.jwk from control.jwks as j
) as s (sealed)
where s.sealed is not null
group by 1 order by 1;
