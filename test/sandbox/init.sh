#!/bin/sh
# init.sh CHECKOUT DIRECTORY CMD ARGS...: process 1 of a private host. enter.sh starts it in fresh namespaces.
# Prepares the host, runs CMD in DIRECTORY, and reaps the daemons that CMD orphans. When it exits, the kernel kills
# all other processes.
set -eu

checkout=$1
directory=$2
shift 2

# As the working directory, the checkout stays reachable when a mount covers its path.
cd "$checkout"

mount -t tmpfs -o mode=755 private /run
for tree in /etc /usr /var; do
  mkdir -p "/run/upper$tree" "/run/work$tree"
  mount -t overlay -o "lowerdir=$tree,upperdir=/run/upper$tree,workdir=/run/work$tree" private "$tree"
done
# The overlays keep their layers; a second mount hides them.
mount -t tmpfs -o mode=755 private /run
mkdir /run/lock
mount -t tmpfs -o mode=1777 private /tmp
mount -t tmpfs -o mode=1777 private /dev/shm

# sysfs shows the network namespace that it was mounted in. The old one also contains the real host's cgroups,
# which libvirt would try to use.
umount --recursive --lazy /sys
mount -t sysfs private /sys

mkdir -p "$checkout"
mount --no-canonicalize --rbind . "$checkout"
mount -o remount,bind,ro "$checkout"

# Removes all traces of the real host's libvirt and virlan.
rm -rf /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
rm -rf /etc/virlan /var/lib/virlan /var/cache/virlan /var/log/virlan.log /var/lib/dnsmasq /usr/lib/virlan /usr/lib/virlan-versions \
  /usr/sbin/virlan
rm -f /etc/systemd/system/virlan* /usr/lib/systemd/system/virlan*
mkdir -p /etc/libvirt/hooks /etc/libvirt/qemu/networks/autostart /var/lib/libvirt/dnsmasq /var/log/libvirt
cat > /etc/libvirt/qemu.conf <<'END'
cgroup_controllers = [ ]
user = "root"
group = "root"
security_driver = "none"
END
cat > /etc/libvirt/qemu/networks/default.xml <<'END'
<network>
  <name>default</name>
  <bridge name='virbr0'/>
  <forward/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
</network>
END
chmod 600 /etc/libvirt/qemu.conf /etc/libvirt/qemu/networks/default.xml
ln -s /etc/libvirt/qemu/networks/default.xml /etc/libvirt/qemu/networks/autostart/default.xml

# Equal on every machine that runs the tests. The name server's address is internetAddress of namespaces.ts.
echo sandbox > /proc/sys/kernel/hostname
rm -f /etc/machine-id /etc/resolv.conf
echo 00112233445566778899aabbccddeeff > /etc/machine-id
echo nameserver 203.0.113.2 > /etc/resolv.conf
ip link set lo up
# New network namespaces copy this setting from the first one.
echo 0 > /proc/sys/net/ipv4/ip_forward
# By default the kernel sends a peer six ICMP errors, then one per second: a reject would look like a drop.
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit

cd "$directory" 2> /dev/null || cd /
unset OLDPWD
set +e
"$@"
exit $?
