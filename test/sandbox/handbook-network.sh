#!/bin/sh
# handbook-network.sh [without-default] up|down: the NAT network that administrators set up by hand, by the commands of
# https://jamielinux.com/docs/libvirt-networking-handbook/custom-nat-based-network.html: bridge, dummy NIC,
# iptables and dnsmasq; `without-default` removes libvirt's own network before, as the first commands do. A test takes it over with `virlan up`, and the benchmark compares the durations.
set -eu
bridge=k8s-br0
files=/var/lib/dnsmasq/$bridge

if [ "$1" = without-default ]; then
  virsh net-destroy default >/dev/null
  virsh net-autostart --disable default >/dev/null
  virsh net-undefine --network default >/dev/null
  shift
fi

if [ "$1" = down ]; then
  kill -9 "$(cat /run/dnsmasq/$bridge.pid)"
  ip link delete $bridge
  ip link delete $bridge-nic 2>/dev/null || true
  rm -rf "$files" /run/dnsmasq/$bridge.pid
  : >/etc/sysctl.conf
  exit 0
fi

ip link add name $bridge type bridge
ip link set $bridge type bridge stp_state 1
# A kernel without the module has no dummy NICs: the recipe goes on without one.
modprobe dummy 2>/dev/null || true
if ip link add $bridge-nic type dummy 2>/dev/null; then
  mac=$(hexdump -vn3 -e '/3 "52:54:00"' -e '/1 ":%02x"' -e '"\n"' /dev/urandom)
  ip link set dev $bridge-nic address "$mac"
  ip link set $bridge-nic master $bridge
  ip link set $bridge-nic up
fi
ip link show master $bridge >/dev/null
ip addr add 192.168.100.1/24 dev $bridge broadcast 192.168.100.255
ip link set $bridge up
echo 'net.ipv4.ip_forward=1' >>/etc/sysctl.conf
echo 'net.ipv4.conf.all.forwarding=1' >>/etc/sysctl.conf
sysctl -p >/dev/null

iptables-restore --noflush <<EOF
*mangle
-A POSTROUTING -o $bridge -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
COMMIT
*nat
-A POSTROUTING -s 192.168.100.0/24 -d 224.0.0.0/24 -j RETURN
-A POSTROUTING -s 192.168.100.0/24 -d 255.255.255.255/32 -j RETURN
-A POSTROUTING -s 192.168.100.0/24 ! -d 192.168.100.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
-A POSTROUTING -s 192.168.100.0/24 ! -d 192.168.100.0/24 -p udp -j MASQUERADE --to-ports 1024-65535
-A POSTROUTING -s 192.168.100.0/24 ! -d 192.168.100.0/24 -j MASQUERADE
COMMIT
*filter
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p icmp --icmp-type 8 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p tcp -m tcp --syn -m conntrack --ctstate NEW --dport 22 -j ACCEPT
-A INPUT -i $bridge -p udp -m udp -m multiport --dports 53,67 -j ACCEPT
-A INPUT -i $bridge -p tcp -m tcp -m multiport --dports 53,67 -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p tcp -m tcp -j REJECT --reject-with tcp-reset
-A INPUT -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -d 192.168.100.0/24 -o $bridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 192.168.100.0/24 -i $bridge -j ACCEPT
-A FORWARD -i $bridge -o $bridge -j ACCEPT
-A FORWARD -i $bridge -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -o $bridge -j REJECT --reject-with icmp-port-unreachable
COMMIT
EOF

mkdir -p "$files"
touch "$files/hostsfile" "$files/leases"
cat >"$files/dnsmasq.conf" <<EOF
except-interface=lo
interface=$bridge
bind-dynamic
dhcp-range=192.168.100.2,192.168.100.254
dhcp-lease-max=1000
dhcp-leasefile=$files/leases
dhcp-hostsfile=$files/hostsfile
dhcp-no-override
strict-order
EOF
mkdir -p /run/dnsmasq
dnsmasq --conf-file="$files/dnsmasq.conf" --pid-file=/run/dnsmasq/$bridge.pid
