#!/usr/bin/env bash
# Make a Debian machine one that can be a pymesos master or agent: what it needs, pymesos itself in
# /opt/pymesos, and its systemd units (not enabled). The images of `make vm`, the Vagrantfile and
# cloud-init all run this.
#   provision.sh SOURCE [WHEELS]   SOURCE: this repository, or what pip installs;
#                                  WHEELS: a folder to install from instead of the package index
set -euo pipefail
source=${1:?the repository, or what pip is to install}
wheels=${2:-}
packages=(python3 python3-venv crun runc skopeo tini iproute2 iptables containernetworking-plugins ca-certificates)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

python3 -m venv /opt/pymesos
index=()
[ -z "$wheels" ] || index=(--no-index --find-links "$wheels")
/opt/pymesos/bin/pip install --quiet --disable-pip-version-check "${index[@]}" "$source"
for program in pymesos-master pymesos-agent pymesos-binpack pymesos-cli; do
  ln -sf "/opt/pymesos/bin/$program" "/usr/bin/$program"
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
install -m 644 "$here"/../systemd/*.service /etc/systemd/system/
mkdir -p /etc/pymesos
