#!/bin/bash
# A real PostgreSQL on the bridge's address, with an empty database `video` of the user `sightline`.
set -euo pipefail
. "$(dirname "$0")/env.sh"
server=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
as_postgres=(setpriv --reuid postgres --regid postgres --clear-groups --)
data=$live/postgres/data
mkdir -p "$data"
chown -R postgres "$live/postgres"
chmod 711 "$state" "$live"
printf '%s' "$database_password" >"$live/postgres/password"
"${as_postgres[@]}" "$server/initdb" -U postgres -A scram-sha-256 -E UTF8 --locale C --no-sync \
    --pwfile "$live/postgres/password" -D "$data" >"$logs/initdb.log" 2>&1 || { cat "$logs/initdb.log" >&2; exit 1; }
echo "host all all $pod_cidr scram-sha-256" >>"$data/pg_hba.conf"
# What is lost when the machine loses power is lost with the test.
start postgres "${as_postgres[@]}" "$server/postgres" -D "$data" -p 5432 -h "$node_ip" -k '' -c fsync=off -c full_page_writes=off \
    -c shared_buffers=64MB
sql() { PGPASSWORD=$database_password psql -X -q -h "$node_ip" -U postgres -d postgres -v ON_ERROR_STOP=1 -c "$1"; }
wait_for 600 sql 'SELECT 1'
sql "CREATE USER sightline PASSWORD '$database_password'"
sql 'CREATE DATABASE video OWNER sightline'
