set -eu
umask 077
# Data are of one major version, and its programs read them; the newest there is makes them.
newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$newest" ] || { echo "PostgreSQL is not installed: Debian's package is postgresql" >&2; exit 1; }
if [ -e data/pg/PG_VERSION ]; then
  bin=/usr/lib/postgresql/$(cat data/pg/PG_VERSION)/bin
  [ -x "$bin/postgres" ] || { echo "the data are of a version that is not installed: $bin" >&2; exit 1; }
else
  bin=$newest
  rm -rf data/new
  "$bin/initdb" -D data/new --username postgres --encoding UTF8 --locale C.UTF-8 --auth reject
  mv data/new data/pg
fi
if [ -e "${PYMESOS_SECRETS:-}/password" ]; then
  password=$(cat "$PYMESOS_SECRETS/password")
  case $password in
    '' | *[!-A-Za-z0-9_.,:@%+=/]*)
      echo "the password has to be of letters, digits and - _ . , : @ % + = /" >&2
      exit 1 ;;
  esac
  printf "ALTER ROLE postgres PASSWORD '%s'\n" "$password" |
    "$bin/postgres" --single -D data/pg -c log_min_error_statement=panic postgres >/dev/null
  addresses='*' way=scram-sha-256
else
  addresses=127.0.0.1 way=trust
fi
printf 'host all all all %s\n' "$way" > pg_hba.conf
exec "$bin/postgres" -D data/pg -p "$PORT_POSTGRESQL" \
  -c "listen_addresses=$addresses" -c unix_socket_directories= -c "hba_file=$PWD/pg_hba.conf" \
  -c "shared_buffers=$((MEM_MIB / 4))MB" -c "max_connections=$CONNECTIONS"
