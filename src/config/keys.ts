// The explanation of each key of virlan.ini. Allowed values and defaults are in schema.ts.
import type { ClusterSection, HostSection, MachineKeys, NetworkSection, WatcherSection } from './schema.ts';

/** The texts about a key, for virlan.ini, its manual page and docs. `code` is between back quotes. */
export type Explanation<Value> = {
  /** A few words behind the key in virlan.ini. */
  readonly note: string;
  readonly text: string;
  /** The default in words, if it depends on other settings. */
  readonly derivedFrom?: string;
} & (IsChoice<Value> extends true ? { readonly choices: Readonly<Record<Value & string, string>> } : unknown);

/** True if a value is one of several words: only then a record of its values has required keys. */
type IsChoice<Value> = [Value] extends [string]
  ? Record<never, 1> extends Record<Value, 1>
    ? false
    : true
  : false;

type Explanations<Section> = { readonly [Key in keyof Section]-?: Explanation<NonNullable<Section[Key]>> };

export const networkKeys: Explanations<NetworkSection> = {
  bridge: {
    note: 'default: the name of the section',
    text: 'The Linux bridge that virlan creates for the network. Needed only if the name of the section cannot be the name of a network interface.',
    derivedFrom: 'the name of the section',
  },
  subnet: {
    note: 'the host gets the first address',
    text: 'The addresses of the network, with a prefix from /8 to /29, outside of 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/4. The host gets the first address, and is gateway and DNS server of the machines. The subnet must not overlap another network in virlan.ini, nor the network of an address of another link, nor contain a route of another link. A wider route is not a conflict.',
  },
  'dhcp-range': {
    note: '',
    text: "The first and the last address that machines may get. Both are inside `subnet`; the range must not include the host's own address, nor the lowest or highest address of the subnet.",
    derivedFrom: "all of `subnet` after the host's own address",
  },
  mode: {
    note: 'what machines reach, and who reaches them',
    text: 'The networks that machines reach in addition to each other, and who reaches them. It can be changed while machines run.',
    choices: {
      nat: 'machines reach the outside with the address of the host; nobody outside reaches them',
      routed:
        'machines and the outside reach each other, without translation of addresses. The router of the LAN needs a route to `subnet` by way of this host',
      isolated:
        'machines reach each other and the host. DHCP names no router, DNS knows the names of machines only, and the host forwards nothing',
      open: 'no rules at all: the other firewalls of the host decide. DHCP and DNS work as in `nat`',
    },
  },
  outside: {
    note: 'which networks behind the host machines reach',
    text: 'Which networks behind the host machines reach, with `mode = nat` or `routed`. Other networks of virlan.ini are reached only with `reaches`. What you translate by a rule of your own (DNAT) is reached in any case.',
    choices: {
      all: 'all, those of Docker, of VPNs and of libvirt too',
      uplink: "those behind the links of the host's default routes at present",
    },
  },
  uplink: {
    note: 'the only link to the outside',
    text: 'The only link by which machines reach the outside, and the outside reaches them, with `mode = nat` or `routed`.',
  },
  reaches: {
    note: 'other networks in this file: lab, dmz',
    text: 'Other networks in this file, separated by commas. Their machines and those of this network reach each other, without translation of addresses. It is enough if one of both networks names the other. Both have `mode = nat` or `routed`.',
  },
  stp: {
    note: '',
    text: 'Whether the bridge uses the spanning tree protocol. If it does, the network interface of a machine works about four seconds after the machine starts.',
  },
  mtu: {
    note: 'in bytes',
    text: 'The MTU of the bridge and of the ports of machines, in bytes. If it is not 1500, machines are told it by DHCP. A machine whose XML has <mtu size="…"/> keeps that.',
  },
  vni: {
    note: 'the number of a network that is on several hosts',
    text: 'The number of the network in the tunnels (VXLAN) between the hosts of `[cluster]`: the same on all of them. Name, `subnet` and `domain` are the same, too. `dhcp-range` is required, unless `[cluster]` has `etcd`: a part of the subnet that no other host gives addresses of. The MTU is at most that of the link with the `address` of `[cluster]`, less 50. There is no spanning tree. See docs/cluster.md.',
  },
  firewall: {
    note: '',
    text: 'The firewall program that loads the rules.',
    choices: {
      auto: 'nftables if it is installed and the kernel takes its rules, otherwise iptables',
      nftables: 'a separate table, `table ip virlan-BRIDGE`',
      iptables: 'separate chains, and one jump to them from each built-in chain',
    },
  },
  'host-access': {
    note: 'what machines may reach on the host',
    text: 'What machines may reach on the host itself. Other packets are rejected; invalid packets are dropped, and so are those with an address outside of `subnet`, except DHCP.',
    choices: {
      minimal: 'DHCP, DNS and ping',
      basic: 'DHCP, DNS, ping and SSH',
      all: 'everything',
    },
  },
  'host-allow': {
    note: 'more ports: tcp/5000, udp/123',
    text: 'Ports of the host that machines may reach in addition to `host-access`: TCP or UDP, single ports or ranges, separated by commas.',
  },
  'host-firewall': {
    note: 'which packets to the host are filtered',
    text: 'Which packets to the host virlan filters.',
    choices: {
      bridge: 'only packets from this bridge',
      strict:
        'packets from other interfaces too: all are rejected except ping, SSH and replies. For machines of another network, the rules of that network hold; if it has `mode = open`, they reach DHCP and DNS',
    },
  },
  'forward-ports': {
    note: 'what definitions of machines may claim; no: nothing',
    text: "The ports of the host that forwards in a machine's own definition may use, or `no` for none. Forwards in a `[machine.NAME]` section may use any.",
  },
  localhost: {
    note: "forwards answer on the host's 127.0.0.1, too",
    text: "Whether forwards are reached by the host's 127.0.0.1, too. In any case machines do not reach what listens there.",
  },
  domain: {
    note: 'DNS domain of the machines',
    text: 'The DNS domain of the machines, another one for each network. With the default, the machine `web` is found as `web` and as `web.k8s-br0.internal`.',
    derivedFrom: 'the name of the section with `.internal`',
  },
  names: {
    note: 'what the host itself finds',
    text: 'Which names of machines the host itself finds. virlan tells systemd-resolved, or the dnsmasq of NetworkManager, where they run. On other hosts libnss-libvirt does it: see docs/names.md.',
    choices: {
      domain: 'names with the domain: `web.k8s-br0.internal`',
      search: 'short names, too: `web`',
      no: 'none: systemd-resolved is left alone',
    },
  },
  dns: {
    note: 'upstream servers: host (from /etc/resolv.conf) | addresses',
    text: 'The DNS servers that resolve all other names: `host` for those in `/etc/resolv.conf`, or addresses separated by commas.',
  },
  mac: {
    note: 'when a machine gets its formula MAC',
    text: 'When a machine gets the MAC of the formula. A MAC that does not begin with 52:54:00, or that is in virlan.ini or in a line that you wrote into the hostsfile, is your choice and is never changed.',
    choices: {
      assign: 'when it is defined, if it has never booted on this network',
      always: 'even if it has booted: the next time it starts from power-off',
      keep: 'never: for tools that choose MACs themselves and rely on them',
    },
  },
  'default-network': {
    note: "libvirt's own network",
    text: "What virlan does with libvirt's own network `default`. Its definition is kept, and is restored when virlan is uninstalled.",
    choices: {
      auto: "`replace` if a defined machine uses it, otherwise `remove`; `keep` if it is not libvirt's own NAT network as packages define it",
      remove: 'removed, even if machines use it',
      replace: 'replaced: machines that use the name `default` are connected to this network',
      keep: 'left as it is',
    },
  },
  'lease-time': {
    note: '',
    text: 'How long a DHCP lease is valid: a number with `s`, `m`, `h`, `d` or `w`, at least two minutes, or `infinite`.',
  },
  boot: {
    note: 'network boot: a URL, or a file of tftp',
    text: `What machines load that boot from the network: a URL, for iPXE and for HTTP boot of UEFI, or a file below the directory of \`tftp\`. iPXE, which QEMU has in its NICs, fills in its own settings, so that each machine has its script: \`http://192.168.100.1/\${hostname}.ipxe\`. The port of an HTTP server on this host is opened for machines.`,
  },
  tftp: {
    note: 'a directory to serve by TFTP',
    text: 'A directory that dnsmasq serves to machines by TFTP. Its user must be able to read the files; below `/home` it cannot. If `boot` is a URL, firmware without iPXE loads iPXE from here first: `undionly.kpxe` (BIOS), `ipxe.efi` (UEFI), `ipxe-arm64.efi`.',
  },
  'dhcp-option': {
    note: 'more DHCP options: 42:10.0.0.1, domain-search:lab.example',
    text: 'DHCP options for machines, separated by commas: the number or the name of an option (`dnsmasq --help dhcp` lists them), a colon and its value; spaces separate several values. A default route in option 121 counts in the place of the router. Options that virlan sets itself, such as the netmask, are refused.',
  },
  'on-error': {
    note: 'if virlan fails in a hook',
    text: 'What happens to a machine that is being started if virlan fails in the hook. One whose XML virlan cannot read may be on any network: `abort` of one network is enough then.',
    choices: {
      start: 'it starts anyway',
      abort: 'it does not start, and libvirt shows the reason',
    },
  },
  guard: {
    note: 'what machines may send: others | strict | no',
    text: 'Which frames of machines are dropped. Needs nftables, also where `firewall` is `iptables`. With `mode = open` it is always `no`. A machine can have another value in its definition; see docs/guard.md.',
    choices: {
      others:
        'those with the MAC or the address of the host, of another machine or of a `[host.NAME]`; answers of DHCP servers, router advertisements, redirects and frames of the spanning tree',
      strict: 'all that are not sent from the MAC and the addresses that are reserved for the machine',
      no: 'none',
    },
  },
  isolate: {
    note: '',
    text: 'Whether machines are kept from each other: they reach the host and the outside, and other machines only with the same `group="…"` in their definitions, neither directly nor by way of the host. Port forwards still reach them, from other machines, too. With `vni`, write it on each host: machines of a group reach each other from host to host if the hosts share an `etcd`. Needs nftables, as `guard` does, and is `no` with `mode = open`.',
  },
  strangers: {
    note: '',
    text: 'Whether something that has no reservation gets an address by DHCP: a nested machine, a container on macvlan, a device that no `[host.NAME]` names. Machines of libvirt on this host have reservations. With `etcd` in `[cluster]` it is always `no`.',
  },
};

export const hostKeys: Explanations<HostSection> = {
  network: { note: '', text: 'The network that the device is on: the name of a `[network.NAME]` section.' },
  mac: { note: '', text: 'The MAC of the device.' },
  ip: {
    note: '',
    text: "The address for the device: any address of the subnet, inside or outside `dhcp-range`, that is neither the host's own nor that of another `[host.NAME]` section.",
  },
};

export const clusterKeys: Explanations<ClusterSection> = {
  address: {
    note: 'an address of this host',
    text: 'An IPv4 address of this host, at which the other hosts reach it. It is not in the subnet of a network of virlan.',
  },
  peers: {
    note: 'the addresses of the other hosts',
    text: 'The IPv4 addresses of the other hosts, separated by commas. Each host names all others. With `as`, they may be route reflectors in their place. Or `etcd`: those that have joined there.',
  },
  as: {
    note: 'with it, FRR tells the hosts where machines are',
    text: 'The number of an autonomous system, the same on all hosts: one for private use, 64512 to 65534 or 4200000000 to 4294967294. With it, bgpd of FRR tells the hosts by BGP where machines are (EVPN), and names the hosts to which frames go whose receiver is not known; FRR has to be installed, with `bgpd=yes` in /etc/frr/daemons. Without it, each host learns that from the frames of machines. See docs/cluster.md.',
  },
  hosts: {
    note: 'with route reflectors: the network of the hosts',
    text: 'A network that contains the addresses of all hosts. Needed where `peers` are not all of the other hosts: only hosts in it may send into the tunnels. Without it, only `peers` may.',
  },
  etcd: {
    note: 'where the hosts share who has which address: https://10.0.0.11:2379',
    text: 'The URLs of an etcd (3.4 or later), separated by commas, in which the hosts share their ledgers: all have the same `dhcp-range`, and a machine keeps its MAC, address and name on whichever host it runs. `http` is possible for 127.0.0.1 only. See docs/cluster.md.',
  },
  ca: {
    note: 'certificates that those of etcd are signed by',
    text: 'A file with the certificates (PEM) that the ones of etcd are signed by, in place of those that Node.js has.',
  },
  cert: {
    note: 'certificate of this host for etcd',
    text: "A file with this host's certificate (PEM) for an etcd with `client-cert-auth`. Needs `key`.",
  },
  key: { note: 'its key', text: 'A file with the private key (PEM) of `cert`.' },
  username: {
    note: 'user of etcd',
    text: 'The user for an etcd whose authentication is enabled. Needs `password-file`.',
  },
  'password-file': {
    note: 'a file with its password',
    text: 'A file whose first line is the password of `username`.',
  },
};

export const machineKeys: Explanations<MachineKeys> = {
  boot: {
    note: 'network boot of the machine: a URL',
    text: 'What the machine loads when it boots from the network, in place of the `boot` of its network: a URL. The definition of the machine can have the same: see docs/netboot.md.',
  },
  aliases: {
    note: 'further names of the machine',
    text: 'Further names of the machine: `api`, or `*.apps` for `apps.NAME.DOMAIN` and all names below it. The definition of the machine can have the same: see docs/names.md.',
  },
  forward: {
    note: 'ports of the host that lead to the machine',
    text: 'Ports of the host that lead to the machine while it runs: `tcp/8443:443` leads port 8443 of the host to port 443 of the machine, `udp/30000-30010` leads a range to the same ports. With `on ADDRESS` only that address of the host, with `from NETWORK` only clients of that network. The definition of the machine can have the same: see docs/forwards.md.',
  },
};

export const watcherKeys: Explanations<WatcherSection> = {
  metrics: {
    note: 'where Prometheus finds metrics: 127.0.0.1:9177',
    text: 'An address of this host and a TCP port, at which the watcher serves `/metrics` for Prometheus, without encryption and for everybody who reaches the port: with an address other than 127.0.0.1 or [::1], let only the Prometheus server in. See docs/monitoring.md.',
  },
};
