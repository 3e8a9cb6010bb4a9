set -eu
umask 077
mkdir -p data
cat > redis.conf <<END
port $PORT_REDIS
dir data
maxmemory $((MEM_MIB * 3 / 4))mb
maxmemory-policy $EVICTION
END
if [ "$KEPT" = 0 ]; then
  printf 'save ""\nappendonly no\n' >> redis.conf
else
  printf 'appendonly yes\nappendfsync everysec\n' >> redis.conf
fi
if [ -e "${PYMESOS_SECRETS:-}/password" ]; then
  password=$(cat "$PYMESOS_SECRETS/password")
  case $password in
    '' | *[!-A-Za-z0-9_.,:@%+=/]*)
      echo "the password has to be of letters, digits and - _ . , : @ % + = /" >&2
      exit 1 ;;
  esac
  printf 'requirepass %s\n' "$password" >> redis.conf
else
  printf 'bind 127.0.0.1 -::1\n' >> redis.conf
fi
exec redis-server redis.conf
