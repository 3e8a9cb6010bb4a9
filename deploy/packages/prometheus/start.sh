set -eu
umask 077
mkdir -p data
printf '%s\n' "$RULES" > rules.yml
scrape() {  # NAME HOST:PORT,HOST:PORT
  [ -z "$2" ] || printf '  - {job_name: %s, static_configs: [{targets: ["%s"]}]}\n' "$1" "$(printf %s "$2" | sed 's/,/", "/g')"
}
{
  echo "global: {scrape_interval: ${INTERVAL_S}s, scrape_timeout: ${INTERVAL_S}s, evaluation_interval: ${INTERVAL_S}s}"
  echo 'rule_files: [rules.yml]'
  echo "alerting: {alertmanagers: [{static_configs: [{targets: [\"127.0.0.1:$PORT_ALERTMANAGER\"]}]}]}"
  echo 'scrape_configs:'
  scrape pymesos-master "$MASTERS"
  scrape pymesos-agent "$AGENTS"
  scrape pymesos-binpack "$FRAMEWORKS"
  if [ -n "$SD_URL" ]; then
    cat <<END
  - job_name: tasks
    http_sd_configs: [{url: "$SD_URL"}]
    relabel_configs:
      - {source_labels: [__meta_pymesos_port_name], regex: "$SD_PORTS", action: keep}
      - {source_labels: [__meta_pymesos_ready], regex: "false", action: drop}
      - {source_labels: [__meta_pymesos_job], target_label: job_id}
      - {source_labels: [__meta_pymesos_job_task], target_label: task}
END
  fi
} > prometheus.yml
exec prometheus --config.file=prometheus.yml --storage.tsdb.path=data/tsdb \
  "--storage.tsdb.retention.time=${RETENTION_DAYS}d" "--web.listen-address=:$PORT_HTTP"
