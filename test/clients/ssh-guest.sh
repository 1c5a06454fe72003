#!/bin/busybox sh
# shellcheck shell=dash
# ssh-guest.sh: the init process of the guest that ssh-guest.ts creates. Requests an address for each NIC, and
# lets the user vagrant in by SSH.
/bin/busybox mkdir -p /dev /proc /sys /bin
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t devtmpfs none /dev
mkdir -p /dev/pts
mount -t devpts none /dev/pts
mount -t proc none /proc
mount -t sysfs none /sys
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
while read -r module; do insmod "/modules/$module.ko"; done < /modules/order

# The user vagrant is root by another name. Vagrant halts with "sudo -E -H sh" and, in it, "shutdown -h now".
cat > /bin/sudo << 'END'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
END
cat > /bin/shutdown << 'END'
#!/bin/sh
# The session that asks for it ends first; otherwise its other end would wait for this one.
(sleep 1; poweroff -f) > /dev/null 2>&1 < /dev/null &
END
chmod +x /bin/sudo /bin/shutdown

ip link set lo up
for nic in /sys/class/net/eth*; do
  nic=${nic##*/}
  ip link set "$nic" up
  udhcpc -b -S -i "$nic" -s /dhcp.sh &
done
dropbear -F -E -s -r /etc/dropbear/key &

while :; do sleep 1000; done
