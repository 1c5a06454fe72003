#!/bin/busybox sh
# shellcheck shell=dash
# cloud-init.sh: the init process of the image that cloud-image.ts creates. Applies host name and DHCP settings of
# a NoCloud seed as cloud-init does, resolves the names of the other nodes, and prints the results on the serial
# console.
/bin/busybox mkdir -p /dev /proc /sys /seed /etc
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
while read -r module; do insmod "/modules/$module.ko"; done < /modules/order

until seed=$(findfs LABEL=cidata 2> /dev/null); do sleep 1; done
mount -t iso9660 -o ro "$seed" /seed
name=$(sed -n 's/^local-hostname: //p' /seed/meta-data)
hostname "$name"
ip link set lo up
ip link set eth0 up
udhcpc -q -n -t 30 -i eth0 -x "hostname:$name" -s /dhcp.sh
echo "NODE $name $(cat /sys/class/net/eth0/address) $(cat /address)"
for peer in node-1 node-2 node-3; do
  until address=$(nslookup -type=a "$peer.$(cat /domain)" | sed -n '/^Name:/,$s/^Address: //p') && [ -n "$address" ] &&
    ping -q -c 1 "$address" > /dev/null; do sleep 1; done
  echo "PEER $peer $address"
done
echo DONE
while :; do sleep 1000; done
