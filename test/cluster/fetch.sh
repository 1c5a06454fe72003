#!/bin/sh
# fetch.sh: unpacks the programs of the hosts of a cluster into build.
set -eu
cd "$(dirname "$0")/../.."

# FRR, by which hosts learn where machines are. It is unpacked, not installed.
if [ ! -e build/frr ]; then
  printf '>> fetching FRR for the tests\n' >&2
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test frr)
  cp -a "$unpacked" build/frr
fi

# etcd. It is unpacked, not installed, so that it does not start on this host.
if [ ! -e build/etcd ]; then
  printf '>> fetching etcd for the tests\n' >&2
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test etcd-server etcd-client)
  cp -a "$unpacked" build/etcd
fi

# faketime, by which programs have another time than the host. It is unpacked, not installed.
if [ ! -e build/faketime ]; then
  printf '>> fetching faketime for the tests\n' >&2
  unpacked=$(sh test/clients/fetch.sh /var/cache/virlan-test faketime)
  cp -a "$unpacked" build/faketime
fi
