#!/bin/sh
# Prints an .env with fresh secrets for compose.yaml. Run once; what is stored is sealed with the master key in it.
#   (umask 077; sh docs/deploy/make-env.sh > .env)
set -eu
hex() { openssl rand -hex "$1"; }
cat <<END
ROWLOCK_MASTER_KEY=$(openssl rand -base64 32)
ROWLOCK_ACCESS_KEY_ID=RL$(hex 9)
ROWLOCK_SECRET_ACCESS_KEY=$(hex 20)
ROWLOCK_ADMIN_API_KEY=$(hex 32)
POSTGRES_PASSWORD=$(hex 24)
ACME_PASSWORD=$(hex 24)
GLOBEX_PASSWORD=$(hex 24)
GARAGE_RPC_SECRET=$(hex 32)
GARAGE_ACCESS_KEY_ID=GK$(hex 12)
GARAGE_SECRET_ACCESS_KEY=$(hex 32)
IMGPROXY_KEY=$(hex 32)
IMGPROXY_SALT=$(hex 32)
IMGPROXY_ACCESS_KEY_ID=
IMGPROXY_SECRET_ACCESS_KEY=
END
