-- name: find_access_key
-- A key that may be used now: neither revoked nor expired.
select access_key_id, secret, role, subject, display_name, claims, description, created_at, expires_at, revoked_at
from control.access_keys
where access_key_id = %(access_key_id)s
  and revoked_at is null
  and (expires_at is null or expires_at > now());

-- name: list_access_keys
-- A page of keys without their secrets, in order of the id.
select access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at
from control.access_keys
where access_key_id > %(after)s
order by access_key_id
limit %(limit)s;

-- name: create_access_key
-- No row comes back when the id is taken: a revoked id is never given out again.
insert into control.access_keys
    (access_key_id, secret, role, subject, display_name, claims, description, expires_at)
values
    (%(access_key_id)s, %(secret)s, %(role)s, %(subject)s, %(display_name)s, %(claims)s::jsonb, %(description)s,
     %(expires_at)s)
on conflict (access_key_id) do nothing
returning access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at;

-- name: put_access_key
-- The operator's own key: what the settings say holds, whatever the row was.
insert into control.access_keys
    (access_key_id, secret, role, subject, display_name, claims, description, expires_at)
values
    (%(access_key_id)s, %(secret)s, %(role)s, %(subject)s, %(display_name)s, %(claims)s::jsonb, %(description)s,
     %(expires_at)s)
on conflict (access_key_id) do update
set secret = excluded.secret, role = excluded.role, subject = excluded.subject,
    display_name = excluded.display_name, claims = excluded.claims, description = excluded.description,
    expires_at = excluded.expires_at, revoked_at = null
returning access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at;

-- name: revoke_access_key
-- No row comes back when there is no such key; revoking twice keeps the first time.
update control.access_keys
set revoked_at = coalesce(revoked_at, now())
where access_key_id = %(access_key_id)s
returning access_key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at;
