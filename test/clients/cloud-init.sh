#!/bin/busybox sh
# shellcheck shell=dash
# cloud-init.sh: the init process of the image that cloud-image.ts creates. Applies host name and DHCP settings of
# a NoCloud seed as cloud-init does, resolves the names of the other nodes and of the API server, and prints the results
# on the serial console. In place of an API server it serves its name at port 6443, and in place of kube-vip a node
# takes the API server's address if no node has it.
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
mkdir /www
echo "$name" > /www/index.html
httpd -p 6443 -h /www

address_of() {
  nslookup -type=a "$1.$(cat /domain)" | sed -n '/^Name:/,$s/^Address: //p'
}
for peer in node-1 node-2 node-3; do
  until address=$(address_of "$peer") && [ -n "$address" ] && ping -q -c 1 "$address" > /dev/null; do sleep 1; done
  echo "PEER $peer $address"
done
until api=$(address_of api) && [ -n "$api" ]; do sleep 1; done
echo "API $api"
echo DONE

is_nobodys() {
  ! ping -q -c 1 -W 1 "$api" > /dev/null
}
while :; do
  if is_nobodys; then
    # Each node waits for another time.
    sleep "$((2 * ${name#node-}))"
    if is_nobodys; then
      ip address add "$api/24" dev eth0
      arping -q -U -c 3 -I eth0 "$api"
    fi
  fi
  sleep 1
done
