#!/bin/sh
# debian-root.sh SUITE PACKAGES DIRECTORY: makes a minimal Debian in DIRECTORY, without libvirt and without Node.js. Its
# apt has the lists of packages, and has downloaded what the packages in PACKAGES need, but nothing of that is installed.
set -eu
suite=$1 packages=$2 directory=$3
case $suite in
  bookworm) set -- "$packages"/virlan-standalone_*_amd64.deb ;;
  trixie) set -- "$packages"/virlan_*_all.deb ;;
esac
mkdir -p "$(dirname "$directory")"
mmdebstrap --quiet --variant=apt --skip=cleanup/apt "$suite" "$directory"
mkdir "$directory/packages"
cp "$@" "$packages"/cockpit-virlan_*_all.deb "$directory/packages/"
chroot "$directory" sh -c 'apt-get --quiet --quiet --yes --no-install-recommends --download-only install /packages/*.deb' >&2
rm -r "$directory/packages"
