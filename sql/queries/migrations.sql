-- name: bookkeeping_exists
-- Whether this database was ever migrated.
select to_regclass('rowlock.migrations') is not null as present;

-- name: create_schema
create schema if not exists rowlock;

-- name: create_bookkeeping
create table if not exists rowlock.migrations (
    family     text        not null,
    id         integer     not null,
    name       text        not null,
    checksum   text        not null,
    applied_at timestamptz not null default now(),
    primary key (family, id)
);

-- name: applied
-- What was applied of one family.
select id, name, checksum, applied_at from rowlock.migrations where family = %(family)s order by id;

-- name: record
insert into rowlock.migrations (family, id, name, checksum)
values (%(family)s, %(id)s, %(name)s, %(checksum)s);

-- name: lock
-- One migrator per database. A session lock, so that files that cannot run in a transaction are covered too.
select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('rowlock.migrations', 0));

-- name: unlock
select pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('rowlock.migrations', 0));

-- name: configure_session
-- Whatever the role's or database's defaults are, files run with these.
select
    pg_catalog.set_config('lock_timeout', %(lock_timeout)s, false),
    pg_catalog.set_config('statement_timeout', '0', false),
    pg_catalog.set_config('client_min_messages', 'warning', false),
    pg_catalog.set_config('search_path', 'public', false);
