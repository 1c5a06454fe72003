# shellcheck shell=dash
# guest-start.sh: begins the init process of a small guest, which sources it: installs busybox, mounts the kernel's file
# systems, loads the modules, and requests an address for eth0.
/bin/busybox mkdir -p /dev /proc /sys /etc
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
while read -r module; do insmod "/modules/$module.ko"; done < /modules/order
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -s /dhcp.sh >/dev/null
