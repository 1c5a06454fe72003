#!/bin/sh
# setup.sh [PACKAGE...]: gets a checkout ready to be built, tested and shown: Debian packages that are missing, and
# whatever else is named, npm's, the bundles.
set -eu
cd "$(dirname "$0")/.."

packages='libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils ipxe-qemu seabios
dnsmasq-base nftables iptables iproute2 procps kmod util-linux iputils-ping netcat-openbsd socat curl busybox-static tcpdump
shellcheck python3-minimal dbus systemd virtinst libnss-libvirt xorriso grub-pc-bin grub-common mtools mandoc man-db zsh fish
lintian rpm'

say() {
  printf '>> %s\n' "$1" >&2
}

[ "$(id -u)" -eq 0 ] || { say 'needs root, for private hosts with networks of their own: use sudo'; exit 1; }

missing=''
for package in $packages "$@"; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
  say "installing Debian packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update --quiet --quiet >&2
  # shellcheck disable=SC2086 # one word a package
  apt-get install --quiet --quiet --yes --no-install-recommends $missing >/dev/null
fi

# For machines that boot from a disk: unpacked only, not installed.
if [ ! -e build/kernel ]; then
  say 'fetching a kernel for the machines'
  rm -rf build/kernel.new
  mkdir -p build/kernel.new
  apt-get update --quiet --quiet >&2
  kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p')
  (cd build/kernel.new && apt-get download --quiet --quiet "$kernel" && dpkg-deb --extract ./*.deb . && rm ./*.deb)
  mv build/kernel.new build/kernel
fi

# The other firewalls that tests put beside virlan: unpacked only, so that none of them starts here.
if [ ! -e build/firewalls ]; then
  say 'fetching firewalls for the tests'
  rm -rf build/firewalls.new
  mkdir -p build/firewalls.new
  apt-get update --quiet --quiet >&2
  needed=$(apt-get install --simulate --no-install-recommends ufw firewalld docker.io | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
  if [ -n "$needed" ]; then
    # shellcheck disable=SC2086 # one word a package
    (
      cd build/firewalls.new
      apt-get download --quiet --quiet --option APT::Sandbox::User=root $needed
      for package in *.deb; do dpkg-deb --extract "$package" .; done
      rm ./*.deb
    )
  fi
  mv build/firewalls.new build/firewalls
fi

# npm writes this file when it has installed all of package-lock.json.
if [ ! -e node_modules/.package-lock.json ] || [ -n "$(find package-lock.json -newer node_modules/.package-lock.json)" ]; then
  say 'installing npm packages'
  npm ci --no-audit --no-fund --loglevel=error >&2
fi

say 'building'
npm run --silent build
npm run --silent build --workspace node-libvirt
