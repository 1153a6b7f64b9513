-- name: database_exists
-- Whether the embedded server has our database yet.
select exists (select from pg_catalog.pg_database where datname = 'rowlock') as present;

-- name: create_database
-- Once, after initdb. Cannot run inside a transaction.
create database rowlock;
