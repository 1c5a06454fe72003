#!/bin/sh
# setup.sh [PACKAGE...]: prepares a checkout for tests and the demo: installs missing Debian packages, the given ones
# included, and npm packages, fetches a kernel and other firewalls, and builds the bundles.
set -eu
cd "$(dirname "$0")/.."

packages='libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils ipxe-qemu seabios
dnsmasq-base nftables iptables iproute2 procps kmod util-linux iputils-ping netcat-openbsd socat curl busybox-static tcpdump
shellcheck python3-minimal dbus systemd virtinst libnss-libvirt mandoc man-db zsh fish logrotate secilc conntrack'

say() {
  printf '>> %s\n' "$1" >&2
}

[ "$(id -u)" -eq 0 ] || { say 'needs root to create network namespaces: use sudo'; exit 1; }

# In separate directories: no build of virlan needs the 370 MB of the first and the 300 MB of the second, and npm would
# run scripts with the node_modules/.bin/node of the first. Beside what apt fetches: both wait for the network.
sh test/npm-packages.sh . test/nodes contrib/cockpit &
npm=$!
trap 'kill "$npm" 2>/dev/null || :' EXIT

# Once for all that is fetched below.
updated=no
update() {
  [ "$updated" = yes ] || apt-get update --quiet --quiet >&2
  updated=yes
}

missing=''
for package in $packages "$@"; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
  say "installing Debian packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  update
  # shellcheck disable=SC2086 # one word per package
  apt-get install --quiet --quiet --yes --no-install-recommends $missing >/dev/null
fi

# The kernel of test machines that boot from a disk. It is unpacked, not installed.
if [ ! -e build/kernel ]; then
  say 'fetching a kernel for the machines'
  rm -rf build/kernel.new
  mkdir -p build/kernel.new
  update
  kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p')
  (cd build/kernel.new && apt-get download --quiet --quiet "$kernel" && dpkg-deb --extract ./*.deb . && rm ./*.deb)
  mv build/kernel.new build/kernel
fi

# The other firewalls that tests run beside virlan. They are unpacked, not installed, so that none starts on this host.
if [ ! -e build/firewalls ]; then
  say 'fetching firewalls for the tests'
  rm -rf build/firewalls.new
  mkdir -p build/firewalls.new
  update
  needed=$(apt-get install --simulate --no-install-recommends ufw firewalld docker.io | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
  if [ -n "$needed" ]; then
    # shellcheck disable=SC2086 # one word per package
    (
      cd build/firewalls.new
      apt-get download --quiet --quiet --option APT::Sandbox::User=root $needed
      for package in *.deb; do dpkg-deb --extract "$package" .; done
      rm ./*.deb
    )
  fi
  mv build/firewalls.new build/firewalls
fi

# NetworkManager, beside which tests run virlan. It is unpacked, not installed.
if [ ! -e build/network-manager ]; then
  say 'fetching NetworkManager for the tests'
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test network-manager)
  cp -a "$unpacked" build/network-manager
fi

# ncat, which is nc on Fedora and RHEL. It is unpacked, not installed.
if [ ! -e build/ncat ]; then
  say 'fetching ncat for the tests'
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test ncat)
  cp -a "$unpacked" build/ncat
fi

# keepalived, which moves virtual addresses between machines of tests. It is unpacked, not installed.
if [ ! -e build/keepalived ]; then
  say 'fetching keepalived for the tests'
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test keepalived)
  cp -a "$unpacked" build/keepalived
fi

# The resolver that tests run on private hosts. It is unpacked, not installed.
if [ ! -e build/resolved ]; then
  say 'fetching systemd-resolved for the tests'
  rm -rf build/resolved.new
  mkdir -p build/resolved.new
  update
  (
    cd build/resolved.new
    apt-get download --quiet --quiet --option APT::Sandbox::User=root systemd-resolved
    dpkg-deb --extract ./*.deb .
    rm ./*.deb
  )
  mv build/resolved.new build/resolved
fi

wait "$npm"
trap - EXIT

say 'building'
npm run --silent build
npm run --silent build --workspace node-libvirt
npm run --silent build:cockpit
