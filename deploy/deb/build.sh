#!/usr/bin/env bash
# Build the Debian package of pymesos, for the distribution and the processor that this runs on:
# pymesos with all its libraries in /opt/pymesos, its commands in /usr/bin, systemd units that are not
# enabled, settings in /etc/pymesos, and a user for what need not be root.
#   build.sh [FOLDER [WHEELS]]   FOLDER: where it goes (default: dist); WHEELS: a folder to install
#                                pymesos and its libraries from, instead of this repository and the index
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
deploy=$(dirname "$here")
repo=$(dirname "$deploy")
out=${1:-$repo/dist}
wheels=${2:-}

fail() { echo "build.sh: $1" >&2; exit 1; }
for program in dpkg-deb /usr/bin/python3; do
  command -v "$program" >/dev/null || fail "$program is missing; this is for Debian and what is made of it"
done
/usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "pymesos needs Python 3.11 or newer, and $(/usr/bin/python3 --version) is this distribution's"
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || fail "python3-venv is missing; run: apt-get install python3-venv"
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
umask 022
root=$stage/root
opt=$root/opt/pymesos

/usr/bin/python3 -m venv "$opt"
from=("$repo")
[ -z "$wheels" ] || from=(--no-index --find-links "$wheels" pymesos-cluster)
"$opt/bin/pip" install --quiet --disable-pip-version-check --no-compile "${from[@]}"
version=$("$opt/bin/python" -c 'import importlib.metadata as m; print(m.version("pymesos-cluster"))')
python=$("$opt/bin/python" -c 'import sys; print("%d.%d %d.%d" % (*sys.version_info[:2], sys.version_info[0], sys.version_info[1] + 1))')
"$opt/bin/pip" uninstall --quiet --yes --disable-pip-version-check setuptools pip 2>/dev/null
find "$opt/bin" -type f ! -name 'pymesos-*' -delete
find "$opt" -name __pycache__ -type d -prune -exec rm -rf {} +
# It has been made here, and is to run there.
grep -rlI --null "$root" "$opt/bin" "$opt/pyvenv.cfg" | xargs -0 --no-run-if-empty sed -i "s|$root||g"
/usr/bin/python3 -m compileall -q -s "$root" -p / "$opt/lib" || fail "a module cannot be compiled"

mkdir -p "$root"/usr/bin "$root"/usr/share/doc/pymesos-cluster "$root"/etc/pymesos "$root"/lib/systemd/system "$root"/DEBIAN
for program in pymesos-master pymesos-agent pymesos-binpack pymesos-lb pymesos-cli; do
  ln -s "/opt/pymesos/bin/$program" "$root/usr/bin/$program"
done
install -m 644 "$deploy"/systemd/*.service "$root/lib/systemd/system"
install -m 644 "$deploy"/config/*.toml "$root/etc/pymesos"
install -m 644 "$repo/LICENSE" "$root/usr/share/doc/pymesos-cluster/copyright"
install -m 644 "$repo"/docs/*.md "$root/usr/share/doc/pymesos-cluster"

(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
install -m 755 "$here"/{postinst,prerm,postrm} "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: pymesos-cluster
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: the authors of pymesos <pymesos@example.org>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: adduser, python3 (>= ${python% *}), python3 (<< ${python#* })
Recommends: ca-certificates, containernetworking-plugins, crun | runc, e2fsprogs, iproute2, iptables, skopeo, tini
Description: two-level cluster scheduler
 A master offers the resources of agents to framework schedulers, which place
 tasks; agents launch them in containers. One of these frameworks, which packs
 services and batch work, comes with it.
CONTROL
distribution=$(. /etc/os-release && echo "$ID${VERSION_ID:-}")
package=$out/pymesos-cluster_${version}_$distribution.deb
dpkg-deb --root-owner-group -Zzstd -z3 --build "$root" "$package.new" >/dev/null
mv "$package.new" "$package"
echo "$package"
