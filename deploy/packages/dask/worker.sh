# The agent keeps the address of the scheduler in a file. A worker ends when it has lost its scheduler, and
# begins again with the one that there is then.
set -eu
trap 'exit 0' TERM
while :; do
  address=
  until read -r address < scheduler && [ -n "$address" ]; do sleep 1; done
  "$PROGRAMS/dask" worker "tcp://$address" --worker-port "$PORT_WORKER" --nthreads "$THREADS" \
    --memory-limit "${MEM_MIB}MiB" --local-directory "$PYMESOS_SANDBOX" --no-nanny --no-dashboard \
    --death-timeout 30 || true
  sleep 1
done
