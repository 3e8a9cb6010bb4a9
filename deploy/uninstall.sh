#!/usr/bin/env bash
# Take away what install.sh brought, and stop what runs of it. Debian's packages stay.
#   uninstall.sh           tasks run on, and settings and state stay, for a later install.sh
#   uninstall.sh --purge   tasks end; state, sandboxes, volumes, networks and settings are deleted, too
set -euo pipefail
purge=
case "$*" in
  "") ;;
  --purge) purge=1 ;;
  *) echo "uninstall.sh: expected --purge or nothing, not: $*" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "uninstall.sh: only root can uninstall pymesos; try: sudo $0 $*" >&2; exit 1; }

agent=/opt/pymesos/bin/pymesos-agent
settings=/etc/pymesos/agent.toml
work_dir=
if [ -x $agent ] && [ -e $settings ]; then
  # Its status says what else the settings lack, as a master.
  work_dir=$("$agent" --config "$settings" --print-config 2>/dev/null | sed -n 's/^work_dir = "\(.*\)"  *#.*/\1/p') || true
fi
checkpoint=${work_dir:-/var/lib/pymesos/agent}/checkpoint.sqlite
if [ -n "$purge" ] && [ -e "$checkpoint" ] && [ ! -x $agent ]; then
  echo "uninstall.sh: the agent of $checkpoint may have tasks, and pymesos-agent, which ends them, is gone; run install.sh again first" >&2
  exit 1
fi
for role in binpack agent master; do
  unit=pymesos-$role.service
  if [ -d /run/systemd/system ]; then systemctl disable --now --quiet "$unit" 2>/dev/null || true; fi
done
if [ -n "$purge" ]; then
  if [ -e "$checkpoint" ]; then "$agent" purge --yes --work-dir "$(dirname "$checkpoint")"; fi
  # With DynamicUser systemd keeps the master's and the framework's below /var/lib/private.
  rm -rf /var/lib/pymesos /var/lib/private/pymesos /etc/pymesos
fi
rm -f /etc/systemd/system/pymesos-{master,agent,binpack}.service
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
for program in pymesos-master pymesos-agent pymesos-binpack pymesos-cli; do
  if [ "$(readlink "/usr/bin/$program")" = "/opt/pymesos/bin/$program" ]; then rm "/usr/bin/$program"; fi
done
rm -rf /opt/pymesos
