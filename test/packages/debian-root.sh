#!/bin/sh
# debian-root.sh SUITE PACKAGES DIRECTORY: makes a minimal Debian, or Ubuntu, in DIRECTORY, without libvirt and without
# Node.js. Its apt has the lists of packages, and has downloaded what the packages in PACKAGES need, but nothing of that is installed.
set -eu
suite=$1 packages=$2 directory=$3
package='virlan-standalone_*_amd64.deb'
set --
case $suite in
  trixie) package='virlan_*_all.deb' ;;
  # Debian 12 has no package of Ubuntu's keys.
  noble) set -- --components=main,universe --keyring="$(dirname "$0")/../ubuntu-archive-2018.asc" ;;
esac
mkdir -p "$(dirname "$directory")"
mmdebstrap --quiet --variant=apt --skip=cleanup/apt "$@" "$suite" "$directory"
mkdir "$directory/packages"
# shellcheck disable=SC2086 # a pattern
cp "$packages"/$package "$packages"/cockpit-virlan_*_all.deb "$directory/packages/"
chroot "$directory" sh -c 'apt-get --quiet --quiet --yes --no-install-recommends --download-only install /packages/*.deb' >&2
rm -r "$directory/packages"
