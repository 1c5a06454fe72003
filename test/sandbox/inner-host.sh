#!/bin/sh
# inner-host.sh NAME: process 1 of a host within a private host, with the virlan that is installed there.
# cluster-hosts.ts starts it in namespaces of its own. Prints "ready" and lasts until it is killed.
set -eu

checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
# As the working directory, the checkout stays reachable when a mount covers its path: programs are links into it.
cd "$checkout"
mount --make-rprivate /
for directory in /run /tmp /etc/virlan /etc/libvirt/qemu /var/lib/virlan /var/lib/dnsmasq /var/lib/libvirt /var/log; do
  mkdir -p "$directory"
  mount -t tmpfs -o mode=755 inner "$directory"
done
mkdir -p /run/lock /run/netns /var/lib/libvirt/dnsmasq /etc/libvirt/qemu/networks
mkdir -p "$checkout"
mount --no-canonicalize --rbind . "$checkout"
# sysfs shows the network namespace that it was mounted in.
mount -t sysfs inner /sys
echo "$1" > /proc/sys/kernel/hostname
printf '%s' "$1" | sha256sum | cut -c 1-32 > /run/machine-id
mount --bind /run/machine-id /etc/machine-id
ip link set lo up
echo 0 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
echo ready
# Unlike sleep, the shell reaps daemons that end: scripts wait until those are gone.
sleep infinity &
wait
