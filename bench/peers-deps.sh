#!/usr/bin/env bash
# Install what bench/peers.py compares with, each in a folder of its own below $XDG_CACHE_HOME/pymesos-peers
# (or PREFIX=...), which may be thrown away:  bench/peers-deps.sh [ray|distributed|hyperqueue|slurm]...
# The Python packages go to virtual environments; Debian's packages of Slurm are unpacked and not installed.
# Docker's engine and busybox for Swarm come with deploy/test-deps.sh.
set -euo pipefail

prefix=${PREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/pymesos-peers}
mkdir -p "$prefix"
[ $# -gt 0 ] || set -- ray distributed hyperqueue slurm

from_pypi() {
  [ -x "$prefix/$1/bin/python" ] && "$prefix/$1/bin/python" -c "import $1" 2>/dev/null && return
  rm -rf "${prefix:?}/$1"
  python3 -m venv "$prefix/$1"
  "$prefix/$1/bin/pip" install -q "$1" || { rm -rf "${prefix:?}/$1"; return 1; }
}

from_debian() {  # what the machine lacks of it and of its dependencies
  [ -e "$prefix/slurm/usr/bin/srun" ] && return
  command -v srun slurmctld slurmd munged >/dev/null && return
  local new=$prefix/slurm.new
  rm -rf "$new" && mkdir -p "$new/archives/partial"
  apt-get install -y -qq --no-install-recommends --download-only -o "Dir::Cache::archives=$new/archives" \
    slurmctld slurmd slurm-client munge >/dev/null
  for package in "$new"/archives/*.deb; do dpkg -x "$package" "$new"; done
  rm -r "$new/archives"
  mv "$new" "$prefix/slurm"
}

for name in "$@"; do
  case $name in
    ray | distributed | hyperqueue) from_pypi "$name" ;;
    slurm) from_debian ;;
    *) echo "nothing is known of $name; there are ray, distributed, hyperqueue and slurm" >&2; exit 2 ;;
  esac
  echo "$name is in $prefix or on the machine"
done
