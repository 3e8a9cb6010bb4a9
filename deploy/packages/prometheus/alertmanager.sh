set -eu
umask 077
{
  echo 'route: {receiver: told, group_by: [alertname]}'
  if [ -n "$WEBHOOK_URL" ]; then
    echo "receivers: [{name: told, webhook_configs: [{url: \"$WEBHOOK_URL\"}]}]"
  else
    echo 'receivers: [{name: told}]'
  fi
} > alertmanager.yml
exec prometheus-alertmanager --config.file=alertmanager.yml --storage.path=silences \
  "--web.listen-address=:$PORT_ALERTMANAGER" --cluster.listen-address=
