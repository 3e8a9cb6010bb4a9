set -eu
exec "$PROGRAMS/dask" scheduler --port "$PORT_SCHEDULER" --dashboard-address ":$PORT_STATUS" --no-show
