// The network that administrators set up by hand, with the instructions that virlan replaces:
// https://jamielinux.com/docs/libvirt-networking-handbook/custom-nat-based-network.html
import { execa } from 'execa';

/** The instructions, without their dummy NIC, which not every kernel supports. */
const script = `
ip link add name k8s-br0 address 52:54:00:aa:bb:cc type bridge
ip link set k8s-br0 type bridge stp_state 1
ip addr add 192.168.100.1/24 dev k8s-br0 broadcast 192.168.100.255
ip link set k8s-br0 up
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.forwarding=1
iptables-restore -n << END
*mangle
-A POSTROUTING -o k8s-br0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
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
-A INPUT -i k8s-br0 -p udp -m udp -m multiport --dports 53,67 -j ACCEPT
-A INPUT -i k8s-br0 -p tcp -m tcp -m multiport --dports 53,67 -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p tcp -m tcp -j REJECT --reject-with tcp-reset
-A INPUT -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -d 192.168.100.0/24 -o k8s-br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 192.168.100.0/24 -i k8s-br0 -j ACCEPT
-A FORWARD -i k8s-br0 -o k8s-br0 -j ACCEPT
-A FORWARD -i k8s-br0 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -o k8s-br0 -j REJECT --reject-with icmp-port-unreachable
COMMIT
END
mkdir -p /var/lib/dnsmasq/k8s-br0 /run/dnsmasq
touch /var/lib/dnsmasq/k8s-br0/hostsfile /var/lib/dnsmasq/k8s-br0/leases
cat > /var/lib/dnsmasq/k8s-br0/dnsmasq.conf << END
except-interface=lo
interface=k8s-br0
bind-dynamic
dhcp-range=192.168.100.2,192.168.100.254
dhcp-lease-max=1000
dhcp-leasefile=/var/lib/dnsmasq/k8s-br0/leases
dhcp-hostsfile=/var/lib/dnsmasq/k8s-br0/hostsfile
dhcp-no-override
strict-order
END
dnsmasq --conf-file=/var/lib/dnsmasq/k8s-br0/dnsmasq.conf --pid-file=/var/run/dnsmasq/k8s-br0.pid
`;

/** Sets up the network by the instructions. */
export async function setUpHandbookNetwork(): Promise<void> {
  await execa('sh', ['-eu', '-c', script]);
}
