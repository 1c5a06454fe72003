#!/bin/sh
# cloud-init-dhcp.sh: the script that udhcpc calls in small guests, such as the image of cloud-init.sh.
[ "$1" = bound ] || exit 0
ip address add "${ip:?}/${mask:?}" dev "${interface:?}"
ip route add default via "${router:?}"
echo "$ip" > /address
echo "${domain:?}" > /domain
echo "nameserver ${dns:?}" > /etc/resolv.conf
