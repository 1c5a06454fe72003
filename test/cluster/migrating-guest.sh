#!/bin/busybox sh
# shellcheck shell=dash
# migrating-guest.sh: the init process of the machine of migration.test.ts. It answers on three TCP ports: 7 sends back
# what it receives, on one connection for as long as that lasts; 80 sends the machine's address; 9 renews its lease.
/bin/busybox mkdir -p /dev /proc /sys /etc
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
while read -r module; do insmod "/modules/$module.ko"; done < /modules/order
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -s /dhcp.sh >/dev/null
nc -ll -p 80 -e cat /address &
nc -ll -p 9 -e killall -USR1 udhcpc &
while :; do nc -l -p 7 -e cat; done
