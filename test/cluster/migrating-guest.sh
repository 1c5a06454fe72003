#!/bin/busybox sh
# shellcheck shell=dash
# migrating-guest.sh: the init process of the machine of migration.test.ts. It answers on three TCP ports: 7 sends back
# what it receives, on one connection for as long as that lasts; 80 sends the machine's address; 9 renews its lease.
# shellcheck source=test/sandbox/guest-start.sh
. /start.sh
nc -ll -p 80 -e cat /address &
nc -ll -p 9 -e killall -USR1 udhcpc &
while :; do nc -l -p 7 -e cat; done
