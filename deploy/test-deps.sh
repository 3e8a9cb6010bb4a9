#!/usr/bin/env bash
# Install what the whole test suite needs on Debian and Ubuntu: a Docker engine, crun, runc, skopeo, a
# registry, Podman, Dask, ZooKeeper, Prometheus, Alertmanager, HAProxy, nginx, Redis, PostgreSQL, dig, dnsmasq,
# busybox, debootstrap, Chromium, Firefox. Nothing is started; the tests do that.
set -euo pipefail

packages=(docker.io docker-registry skopeo crun runc podman containernetworking-plugins iptables iproute2 zookeeper prometheus prometheus-alertmanager haproxy nginx-light redis-server postgresql bind9-dnsutils dnsmasq-base zstd busybox-static debootstrap chromium firefox-esr python3 python3-venv make gcc libc6-dev git)
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
command -v npm >/dev/null || missing+=(npm)  # some distributors' Node.js has it
with_dask() {  # for the package of it, in deploy/packages
  [ -x /opt/dask/bin/dask ] || { "${sudo[@]}" /usr/bin/python3 -m venv /opt/dask && "${sudo[@]}" /opt/dask/bin/pip install -q distributed; }
}
[ ${#missing[@]} -gt 0 ] || { with_dask; exit 0; }
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if [ ! -e /usr/sbin/policy-rc.d ]; then  # by which Debian's packages do not start their services
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee /usr/sbin/policy-rc.d >/dev/null
  "${sudo[@]}" chmod 755 /usr/sbin/policy-rc.d
  trap '"${sudo[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
fi
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
# Docker's own client where the package leaves it to another one.
command -v docker >/dev/null || "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-cli >/dev/null
with_dask
