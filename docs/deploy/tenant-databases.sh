#!/bin/bash
# At the first start of the Postgres of the profile "tenants": a database for each tenant, and a login that may connect to
# nothing else and has the rights of rowlock_gateway only, which are none until it takes a caller's role.
set -eu
psql --set=ON_ERROR_STOP=1 --set=acme="$ACME_PASSWORD" --set=globex="$GLOBEX_PASSWORD" \
    --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
CREATE ROLE rowlock_gateway NOLOGIN NOINHERIT;
CREATE ROLE acme LOGIN PASSWORD :'acme' IN ROLE rowlock_gateway;
CREATE ROLE globex LOGIN PASSWORD :'globex' IN ROLE rowlock_gateway;
CREATE DATABASE acme;
CREATE DATABASE globex;
REVOKE CONNECT ON DATABASE rowlock, acme, globex FROM PUBLIC;
GRANT CONNECT ON DATABASE acme TO acme;
GRANT CONNECT ON DATABASE globex TO globex;
SQL
