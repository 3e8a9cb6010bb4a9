#!/usr/bin/env bash
# Build a Debian disk image with systemd, cgroups v2 and pymesos in it, its kernel and its initrd.
#   build.sh FOLDER   needs root, debootstrap, e2fsprogs, and a Python with pip (PYTHON=…)
set -euo pipefail
out=${1:?a folder for the image}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
python=${PYTHON:-$repo/.venv/bin/python}
suite=bookworm
guest_python=3.11 # of that suite
mirror=${MIRROR:-http://deb.debian.org/debian}
packages=systemd-sysv,udev,procps,linux-image-cloud-amd64,initramfs-tools,ca-certificates
more=(adduser python3 python3-venv crun runc skopeo tini iproute2 iptables containernetworking-plugins) # debootstrap cannot resolve what they need
size_mib=2048

[ "$(id -u)" = 0 ] || { echo "build.sh: only root can make the image (debootstrap, chroot)" >&2; exit 1; }
for program in debootstrap mke2fs; do
  command -v "$program" >/dev/null || { echo "build.sh: $program is missing: apt-get install debootstrap e2fsprogs" >&2; exit 1; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
step() { printf '== %s (%s s)\n' "$1" "$SECONDS"; }

if [ ! -e "$out/base.tar" ]; then
  step "a Debian of its own"
  rm -rf "$out/base"
  debootstrap --variant=minbase --include="$packages" "$suite" "$out/base" "$mirror" >"$out/debootstrap.log" ||
    { tail "$out/debootstrap.log" >&2; exit 1; }
  cp /etc/resolv.conf "$out/base/etc/resolv.conf"
  chroot "$out/base" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive chroot "$out/base" apt-get install -y -qq --no-install-recommends "${more[@]}" >>"$out/debootstrap.log" ||
    { tail "$out/debootstrap.log" >&2; exit 1; }
  rm -rf "$out"/base/var/cache/apt/archives/*.deb "$out"/base/var/lib/apt/lists/*
  tar -C "$out/base" -cf "$out/base.tar.new" .
  mv "$out/base.tar.new" "$out/base.tar"
  rm -rf "$out/base"
fi

step "pymesos and what it needs, for Python $guest_python"
rm -rf "$out/wheels"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$out/wheels" "$repo"
"$python" -m pip download --quiet --disable-pip-version-check --dest "$out/wheels" --only-binary=:all: \
  --python-version "$guest_python" --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --platform linux_x86_64 \
  "$out"/wheels/pymesos_cluster-*.whl

step "the root file system"
rm -rf "$out/root"
mkdir "$out/root"
trap 'rm -rf "$out/root"' EXIT
tar -C "$out/root" -xf "$out/base.tar"
mkdir -p "$out/root/root/pymesos/deploy"
cp -r "$repo/deploy/deb" "$repo/deploy/systemd" "$repo/deploy/config" "$out/root/root/pymesos/deploy/"
cp -r "$repo/docs" "$repo/LICENSE" "$out/root/root/pymesos/"
cp -r "$out/wheels" "$out/root/root/wheels"
chroot "$out/root" /root/pymesos/deploy/deb/build.sh /root /root/wheels
chroot "$out/root" sh -c 'dpkg --install /root/*.deb' >>"$out/debootstrap.log"
install -m 755 "$here/pymesos-vm" "$out/root/usr/local/sbin/pymesos-vm"
install -m 644 "$here/pymesos-vm.service" "$out/root/etc/systemd/system/"
chroot "$out/root" systemctl enable --quiet pymesos-vm.service
chroot "$out/root" systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer systemd-timesyncd.service
rm -rf "$out"/root/root/{pymesos,wheels,*.deb} "$out/root/etc/resolv.conf"
printf '/dev/vda / ext4 defaults 0 1\n' >"$out/root/etc/fstab"

step "the disk"
cp "$out"/root/boot/vmlinuz-* "$out/vmlinuz"
cp "$out"/root/boot/initrd.img-* "$out/initrd"
rm -f "$out/disk.img.new"
mke2fs -q -t ext4 -d "$out/root" "$out/disk.img.new" "${size_mib}m"
mv "$out/disk.img.new" "$out/disk.img"
step "done: $out/disk.img"
