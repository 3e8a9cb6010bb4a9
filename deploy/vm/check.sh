#!/usr/bin/env bash
# The tests of containers in a virtual machine, where cgroups are v2 and systemd's.
#   check.sh [PYTEST ARGUMENTS]   needs the image (`make vm`), qemu-system-x86_64, e2fsprogs, busybox-static
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
image=$here/image
python=$repo/.venv/bin/python
guest_python=3.11 # of the image
tests=(integration/test_oci_tools.py integration/test_isolation.py integration/test_runtimes.py)
[ $# = 0 ] || tests=("$@")

fail() { echo "check.sh: $1" >&2; exit 1; }
[ -e "$image/disk.img" ] || fail "$image/disk.img is missing: make vm"
[ -x /bin/busybox ] || fail "busybox-static is missing: deploy/test-deps.sh"
command -v qemu-system-x86_64 >/dev/null || fail "qemu-system-x86_64 is missing (Debian: apt-get install qemu-system-x86)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/disk"
(cd "$repo" && cp -r pyproject.toml core master agent frameworks cli proto tests "$work/disk/")
cp /bin/busybox "$work/disk/busybox"
"$python" -m pip install --quiet --disable-pip-version-check --target "$work/disk/site" --only-binary=:all: \
  --python-version "$guest_python" --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 \
  pytest pytest-asyncio pytest-timeout pytest-xdist hypothesis testcontainers
printf '%q ' "${tests[@]}" >"$work/disk/arguments"
cat >"$work/disk/check" <<'GUEST'
ip link set lo up
cp /mnt/busybox /bin/busybox
export PYTHONDONTWRITEBYTECODE=1 HOME=/root PYTHONPATH=/mnt/site
for part in core master agent frameworks cli proto tests; do PYTHONPATH=$PYTHONPATH:/mnt/$part; done
cd /mnt/tests
eval "set -- $(cat /mnt/arguments)"
/opt/pymesos/bin/python -m pytest -p no:cacheprovider --color=no --tb=short -o timeout=900 "$@"
echo "exit status $?"
GUEST
size_mib=$(($(du -sm "$work/disk" | cut -f1) * 5 / 4 + 32))
mke2fs -q -t ext4 -d "$work/disk" "$work/disk.img" "${size_mib}m"
drive() { printf 'file=%s,if=virtio,format=raw,snapshot=on' "$1"; }
TMPDIR=$work qemu-system-x86_64 -accel tcg,thread=multi -m 3072 -smp 2 -display none -monitor none -no-reboot \
  -serial "file:$work/console" -serial "file:$work/said" -kernel "$image/vmlinuz" -initrd "$image/initrd" -device virtio-rng-pci \
  -append "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=false net.ifnames=0 pymesos.role=check" \
  -drive "$(drive "$image/disk.img")" -drive "$(drive "$work/disk.img")" -nic user,restrict=on,model=virtio-net-pci
cat "$work/said"
grep -q '^exit status 0' "$work/said" || fail "the tests did not pass"
