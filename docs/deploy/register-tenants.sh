#!/bin/sh
# The profile "tenants": makes the tenants acme and globex known, and brings their databases up to date. May run again.
set -eu
register() {
    if rowlock tenants show "$1" >/dev/null 2>&1; then
        echo "$1 is registered"
        return
    fi
    # on standard input, so that no process list shows a password
    printf '%s\n' \
        "postgresql://$1:$2@$host/$1" \
        "postgresql://rowlock:$OWNER_PASSWORD@$host/$1" |
        rowlock tenants create "$1" --database-url - --owner-url -
}
host=${POSTGRES_ADDRESS:-postgres-tenants:5432}
register acme "$ACME_PASSWORD"
register globex "$GLOBEX_PASSWORD"
rowlock migrate run --all
