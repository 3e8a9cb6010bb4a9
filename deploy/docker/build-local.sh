#!/usr/bin/env bash
# Make the image of deploy/docker/Dockerfile without a registry: debootstrap, pip, docker import.
#   deploy/docker/build-local.sh [IMAGE]        as root; IMAGE is pymesos:local
set -euo pipefail

image=${1:-pymesos:local}
here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
suite=bookworm # its Python, for which the wheels below are chosen
python_version=3.11

for tool in debootstrap docker; do
  command -v "$tool" >/dev/null || { echo "$tool is missing; install it with deploy/test-deps.sh" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# The mirror that this machine's apt uses.
mirror=$(apt-cache policy | sed -nE 's/^ *[0-9]+ (https?:[^ ]+) bookworm\/main .*/\1/p' | head -n 1)
# dpkg need not wait for the disk, nor unpack what is removed below.
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
printf '%s\n' force-unsafe-io path-exclude=/usr/share/{doc,man,locale}/'*' >"$root/etc/dpkg/dpkg.cfg.d/build"
debootstrap --variant=minbase \
  --include=python3,zookeeper,openjdk-17-jre-headless,iproute2,ca-certificates \
  "$suite" "$root" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 || {
  tail -n 20 "$work/debootstrap.log" "$root/debootstrap/debootstrap.log" >&2
  exit 1
}

# Wheels of the image's Python, whatever runs here.
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheels" "$here"
"$python" -m pip install --quiet --target "$root/usr/lib/python3/dist-packages" \
  --python-version "$python_version" --implementation cp --only-binary=:all: \
  --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 \
  --platform manylinux_2_34_x86_64 --platform linux_x86_64 --find-links "$work/wheels" pymesos-cluster
for role in master agent binpack cli; do
  package=pymesos_$role
  printf '#!/usr/bin/python3\nfrom %s.main import main\nmain()\n' "$package" >"$root/usr/bin/pymesos-$role"
  chmod 755 "$root/usr/bin/pymesos-$role"
done
rm -rf "$root/etc/dpkg/dpkg.cfg.d/build" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}

tar --create --directory "$root" --one-file-system . |
  docker import --change 'CMD ["pymesos-cli", "--help"]' - "$image" >/dev/null
echo "$image"
