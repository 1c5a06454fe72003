import type { HostSection, NetworkSection } from './schema.ts';

/**
 * What is said of a key where it is explained: virlan.ini itself, its manual page and its page in docs. What may be
 * written and the default are in schema.ts. Texts are plain sentences, with `code` between back quotes.
 */
export type Explanation<Value> = {
  /** Behind the key in virlan.ini. */
  readonly note: string;
  readonly text: string;
  /** The default in words, where it follows from something else. */
  readonly follows?: string;
} & (IsChoice<Value> extends true ? { readonly choices: Readonly<Record<Value & string, string>> } : unknown);

/** Whether a value is one of several words: a record of them has keys that must be there. */
type IsChoice<Value> = [Value] extends [string]
  ? Record<never, 1> extends Record<Value, 1>
    ? false
    : true
  : false;

type Explanations<Section> = { readonly [Key in keyof Section]-?: Explanation<NonNullable<Section[Key]>> };

export const networkKeys: Explanations<NetworkSection> = {
  bridge: {
    note: 'of Linux; the name of the section where it is left out',
    text: 'The bridge of the network, which virlan makes. Needed only where the name of the section can be no name of a link.',
    follows: 'the name of the section',
  },
  subnet: {
    note: "the first address is the host's",
    text: 'The addresses of the network. The first of them is that of the host, which is gateway and DNS server of the machines. A prefix of /8 to /29; it must overlap neither another network of virlan.ini nor one that the host has a route to.',
  },
  'dhcp-range': {
    note: '',
    text: "What machines get addresses from: the first and the last one. Inside of `subnet`, without the host's own and the lowest and highest address.",
    follows: 'all of `subnet` behind the address of the host',
  },
  stp: {
    note: '',
    text: 'Whether the bridge speaks the spanning tree protocol. With it, a machine that starts waits some four seconds for its link.',
  },
  mtu: {
    note: '',
    text: 'Of the bridge, in bytes. Machines are told it by DHCP where it is another than 1500.',
  },
  firewall: {
    note: '',
    text: 'What the rules are loaded with.',
    choices: {
      auto: 'nftables where it is there, else iptables',
      nftables: 'a table of its own, `table ip virlan-BRIDGE`',
      iptables: 'chains of its own, and one jump into them from each chain of the system',
    },
  },
  'host-access': {
    note: 'what machines may reach on the host itself',
    text: 'What machines may reach on the host itself. The rest is rejected, and what is invalid is dropped.',
    choices: {
      minimal: 'DHCP, DNS and ping',
      basic: 'these and SSH',
      all: 'everything',
    },
  },
  'host-allow': {
    note: 'more of it: tcp/5000, udp/123',
    text: 'Ports of the host that machines may reach beyond `host-access`: one, or a range, of TCP or UDP, separated by commas.',
  },
  'host-firewall': {
    note: 'whose packets to the host are judged',
    text: 'Whose packets to the host virlan judges.',
    choices: {
      bridge: 'only those that come from this bridge',
      strict: 'all: what comes from elsewhere is rejected too, but ping, SSH and answers',
    },
  },
  domain: {
    note: 'DNS domain of the machines',
    text: 'The DNS domain of the machines: `web` is found as `web` and as `web.k8s-br0.internal`.',
    follows: 'the name of the section and `.internal`',
  },
  dns: {
    note: 'upstream: host (as /etc/resolv.conf) | addresses',
    text: 'Who is asked what virlan does not know itself: `host` stands for the servers of `/etc/resolv.conf`, and addresses separated by commas for themselves.',
  },
  mac: {
    note: '',
    text: "When a machine gets the MAC of the formula. One outside of 52:54:00, or one that virlan.ini or a hand-written line of the hostsfile names, is the user's choice and always kept.",
    choices: {
      assign: 'when it is defined and has never booted on this network',
      always: 'also when it has booted: at its next cold start',
      keep: 'never',
    },
  },
  'default-network': {
    note: "libvirt's own",
    text: "What becomes of libvirt's own network `default`. Its definition is kept, and put back when virlan is uninstalled.",
    choices: {
      auto: 'removed; but where a defined machine refers to it, its name is given to this network',
      remove: 'removed, whatever refers to it',
      replace: 'its name is given to this network',
      keep: 'left alone',
    },
  },
  'lease-time': {
    note: '',
    text: 'How long a machine holds its address without asking again: two minutes at least, with `s`, `m`, `h`, `d` or `w` behind the number, or `infinite`.',
  },
  'on-error': {
    note: 'when virlan itself fails in a hook',
    text: 'What becomes of a machine that is about to start when virlan itself fails in the hook.',
    choices: {
      start: 'it starts anyway',
      abort: 'it does not start, and libvirt says why',
    },
  },
};

export const hostKeys: Explanations<HostSection> = {
  network: { note: '', text: 'The network it is in: the name of a `[network.…]` section.' },
  mac: { note: '', text: 'The MAC it has.' },
  ip: {
    note: '',
    text: "The address it gets: one of the subnet, inside `dhcp-range` or outside, that is not the host's and that no other `[host.…]` section has.",
  },
};
