-- The registry of access keys. Its own login reads it, nobody else: not the roles that policies run as, not public.

create schema control;
revoke all on schema control from public;

create table control.access_keys (
    access_key_id text collate "C" primary key check (access_key_id ~ '^[A-Za-z0-9_.=+@:-]{3,128}$'),
    -- AES-256-GCM, bound to this row (gateway/tenants/secrets.py)
    secret bytea not null check (octet_length(secret) between 32 and 1024),
    role text not null check (role ~ '^[a-z_][a-z0-9_]{0,62}$'),
    subject text,
    display_name text,
    claims jsonb not null default '{}' check (jsonb_typeof(claims) = 'object'),
    description text,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
revoke all on control.access_keys from public;

-- Gateways cache keys; they drop one as soon as its row changes, whoever changed it.
create function control.access_keys_notify() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op <> 'INSERT' then
        perform pg_notify('control_access_keys', old.access_key_id);
    end if;
    if tg_op <> 'DELETE' then
        perform pg_notify('control_access_keys', new.access_key_id);
    end if;
    return null;
end
$$;
revoke all on function control.access_keys_notify() from public;

create trigger access_keys_notify
after insert or update or delete on control.access_keys
for each row execute function control.access_keys_notify();
