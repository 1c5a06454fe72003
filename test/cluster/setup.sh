#!/bin/sh
# setup.sh: prepares a checkout for tests of clusters: what all tests need, and the programs of the hosts, unpacked into
# build.
set -eu
cd "$(dirname "$0")/../.."
sh test/setup.sh mmdebstrap debian-archive-keyring

# FRR, by which hosts learn where machines are. It is unpacked, not installed.
if [ ! -e build/frr ]; then
  printf '>> fetching FRR for the tests\n' >&2
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test frr)
  cp -a "$unpacked" build/frr
fi

# etcd of Debian 12 and 13. They are unpacked, not installed, so that none starts on this host.
unpack_etcd() {
  [ ! -e "build/etcd-$2" ] || return 0
  printf '>> fetching etcd %s for the tests\n' "$2" >&2
  rm -rf "build/etcd-$2.new"
  mmdebstrap --quiet --variant=extract --include=etcd-server,etcd-client "$1" "build/etcd-$2.new"
  mv "build/etcd-$2.new" "build/etcd-$2"
}
unpack_etcd bookworm 3.4
unpack_etcd trixie 3.5

# faketime, by which programs have another time than the host. It is unpacked, not installed.
if [ ! -e build/faketime ]; then
  printf '>> fetching faketime for the tests\n' >&2
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test faketime)
  cp -a "$unpacked" build/faketime
fi
