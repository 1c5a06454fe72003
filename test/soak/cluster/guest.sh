#!/bin/busybox sh
# shellcheck shell=dash
# guest.sh: the init process of the machines of the cluster's soak. They answer pings.
# shellcheck source=test/sandbox/guest-start.sh
. /start.sh
while :; do sleep 3600; done
