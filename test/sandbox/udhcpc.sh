#!/bin/sh
# udhcpc.sh EVENT: the script that busybox udhcpc calls, with the server's offer in the environment. Prints the
# address.
set -eu

case $1 in
  deconfig)
    ip -4 address flush dev "${interface:?}"
    ;;
  bound | renew)
    if [ -n "${mtu:-}" ]; then ip link set dev "$interface" mtu "$mtu"; fi
    ip address replace "${ip:?}/${mask:?}" dev "${interface:?}"
    if [ -n "${router:-}" ]; then ip route replace default via "${router%% *}"; fi
    echo "$ip"
    ;;
esac
