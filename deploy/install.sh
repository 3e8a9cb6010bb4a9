#!/usr/bin/env bash
# Make a Debian machine one that can be a pymesos master, agent or home of the bin-packing framework:
# what it needs, pymesos itself in /opt/pymesos, its commands in /usr/bin, its settings in /etc/pymesos
# (which an upgrade leaves alone), and its systemd units (not enabled). Run it again to upgrade. The images of `make vm`, the Vagrantfile and cloud-init all run it;
# uninstall.sh beside it takes everything away again.
#   install.sh [SOURCE [WHEELS]]   SOURCE: a repository, or what pip installs (default: this repository);
#                                  WHEELS: a folder to install from instead of the package index
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=${1:-$(dirname "$here")}
wheels=${2:-}
packages=(python3 python3-venv crun runc skopeo tini iproute2 iptables containernetworking-plugins ca-certificates)

[ "$(id -u)" = 0 ] || { echo "install.sh: only root can install pymesos; try: sudo $0" >&2; exit 1; }
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

/usr/bin/python3 -m venv /opt/pymesos
index=()
[ -z "$wheels" ] || index=(--no-index --find-links "$wheels")
/opt/pymesos/bin/pip install --quiet --disable-pip-version-check --upgrade "${index[@]}" "$source"
for program in pymesos-master pymesos-agent pymesos-binpack pymesos-cli; do
  ln -sf "/opt/pymesos/bin/$program" "/usr/bin/$program"
done
install -D -m 644 -t /etc/systemd/system "$here"/systemd/*.service
for role in master agent binpack; do
  settings=/etc/pymesos/$role.toml
  [ -e "$settings" ] || install -D -m 644 "$here/config/$role.toml" "$settings"
done
