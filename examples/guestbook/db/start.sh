#!/bin/sh
# Start PostgreSQL on the volume, making the database at the first start.
# Begins as root only to hand the volume's directory over, then goes on as the user postgres.
set -eu
data=/var/lib/postgresql/data/main

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$data" /run/postgresql /run/database
    chown postgres:postgres "$data" /run/postgresql
    chmod 700 "$data"
    # The secret is root's; the server's own user gets a copy that only it can read, in memory.
    install -o postgres -m 400 "$POSTGRES_PASSWORD_FILE" /run/database/password
    chown postgres /run/database
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0"
fi

if [ ! -s "$data/PG_VERSION" ]; then
    rm -rf "${data:?}"/* 
    initdb --pgdata="$data" --username=postgres --pwfile=/run/database/password --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --no-instructions
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    pg_ctl --pgdata="$data" --options="-c listen_addresses=" --wait --silent start
    PGPASSWORD=$(cat /run/database/password) createdb --host=/run/postgresql --username=postgres "$POSTGRES_DB"
    pg_ctl --pgdata="$data" --wait --silent --mode=fast stop
fi
rm -f /run/database/password
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
