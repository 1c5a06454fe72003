// The form of `virlan status --json`, for docs/schema/status.json.
import * as v from 'valibot';
import { sessionStates } from '../cluster/bgp-sessions.ts';
import type { CheckId } from '../diagnosis/finding.ts';
import { described, integer, nullable } from '../json-form.ts';
import { otherFirewallNames } from '../other-firewalls/model.ts';
import type { Fault, Status } from '../report/status.ts';
import { fix } from './schema-parts.ts';

const forward = v.object({
  forward: described(v.string(), 'As in virlan.ini: `tcp/8443:443`.'),
  source: described(v.picklist(['metadata', 'virlan.ini']), 'The place where it is declared.'),
  active: described(v.boolean(), 'Whether ports of the host lead to the machine now.'),
  problem: nullable(v.string(), 'Why a running machine does not have it, as a text.'),
});

const machine = v.object({
  name: described(v.string(), "The machine's name. It is hostile: it may contain any character."),
  uuid: v.string(),
  nic: described(integer(), "Which of the machine's NICs on this network, from 0."),
  mac: v.string(),
  replacedMac: nullable(v.string(), 'The MAC that virlan replaced in the definition.'),
  ip: nullable(v.string(), 'The reserved address.'),
  hostname: nullable(v.string(), 'The reserved host name.'),
  aliases: described(v.array(v.string()), 'Further names, such as `api` and `*.apps`.'),
  refusedAliases: described(
    v.array(v.object({ alias: v.string(), problem: v.string() })),
    'Names that it asks for and does not have.',
  ),
  state: v.picklist(['running', 'shut off', 'undefined']),
  tap: nullable(v.string(), 'The network interface on the host.'),
  lease: nullable(
    v.object({
      ip: v.string(),
      expires: nullable(v.string(), 'In UTC, `2026-11-22T10:00:00Z`; null for never.'),
    }),
    'The lease at present.',
  ),
  problem: nullable(v.string(), 'Why the reservation is not what it should be, as a text.'),
  guard: described(
    v.object({
      mode: v.picklist(['others', 'strict', 'no']),
      group: nullable(v.string(), 'Within which it reaches others where they are isolated. Hostile.'),
    }),
    'What it may send.',
  ),
  forwards: described(v.array(forward), "The machine's forwards, at its first NIC on the network."),
});

const probe = v.object({
  at: described(v.string(), 'In UTC.'),
  passed: nullable(v.boolean(), 'Null: it was not sent.'),
  check: nullable(v.string() as v.GenericSchema<CheckId>, 'The stage that failed.'),
  seen: nullable(v.string(), 'The failure, or why it was not sent, as a text.'),
});

const peer = v.object({
  address: v.string(),
  listed: described(
    v.boolean(),
    'Whether frames whose receiver is not known go to it: the tunnel has an entry for it in the kernel.',
  ),
  macs: described(integer(), 'The number of MACs that sent frames from there within the last minutes.'),
  answer: nullable(
    v.picklist(['answers', 'no-route', 'silent', 'refuses', 'too-large', 'unknown']),
    'The answer when the watcher last asked; null before that, and without a watcher.',
  ),
  since: nullable(v.string(), 'When it began to answer like this, in UTC.'),
});

const bgp = v.object({
  as: integer(),
  neighbours: v.array(
    v.object({
      address: v.string(),
      session: nullable(
        v.picklist(sessionStates),
        'The state of the session (RFC 4271); null while bgpd does not have the neighbour.',
      ),
      since: nullable(v.string(), 'When the session was established, or ended, in UTC.'),
      routes: described(integer(), 'The number of routes received from there: hosts and machines.'),
    }),
  ),
});

const tunnel = v.object({
  vni: integer(),
  link: described(v.string(), 'Its network interface on this host.'),
  mtu: nullable(integer(), 'In bytes; null without the interface.'),
  address: described(v.string(), 'That of this host for the others.'),
  peers: described(v.array(peer), 'The other hosts: as in virlan.ini, or as route reflectors have told FRR.'),
  bgp: nullable(bgp, 'The state of BGP by FRR; null where the kernel learns from frames where machines are.'),
});

const shared = v.object({
  etcd: nullable(
    v.object({
      connected: v.boolean(),
      endpoint: nullable(v.string(), 'The member of etcd that this host asks.'),
      since: described(v.string(), 'When it began to be like this, in UTC.'),
      error: nullable(v.string(), 'The reason why there is no connection.'),
    }),
    'The connection to etcd; null without a watcher.',
  ),
  freeAddresses: described(
    integer(),
    'How many addresses this host can give to new machines while etcd is away.',
  ),
  hosts: described(
    v.array(
      v.object({
        address: v.string(),
        alive: nullable(v.boolean(), 'Whether its watcher is connected; null while etcd is away.'),
        machines: integer(),
      }),
    ),
    'The other hosts that have joined.',
  ),
  machines: described(
    v.array(
      v.object({
        name: v.string(),
        uuid: v.string(),
        nic: integer(),
        mac: v.string(),
        ip: v.nullable(v.string()),
        hostname: v.string(),
        host: described(v.string(), 'The address of its host.'),
      }),
    ),
    'One object for each NIC of each machine of another host.',
  ),
});

const network = v.object({
  name: v.string(),
  bridge: v.string(),
  subnet: described(v.string(), '`192.168.100.0/24`'),
  gateway: v.string(),
  mode: v.picklist(['nat', 'routed', 'isolated', 'open']),
  isolate: described(v.boolean(), 'Whether machines reach each other only within a group.'),
  alsoReached: described(
    v.array(v.string()),
    'Links to other networks than the outside that machines reach.',
  ),
  routeNeeded: nullable(v.string(), "The route that the LAN's router needs: `SUBNET via ADDRESS`."),
  up: described(v.boolean(), 'Whether the bridge is up and dnsmasq runs.'),
  firewall: nullable(v.string(), '`nftables` or `iptables`'),
  domain: v.string(),
  hostNames: v.picklist(['resolved', 'network-manager', 'nss', 'resolved-not-asked', 'not-found', 'off']),
  dnsmasq: v.object({ running: v.boolean(), pid: v.nullable(integer()) }),
  otherFirewalls: described(
    v.array(v.object({ name: v.picklist(otherFirewallNames), rules: v.array(v.string()) })),
    "Other firewalls on the host, and virlan's rules in them.",
  ),
  otherPorts: described(
    v.array(v.string()),
    "Links in the bridge that are neither a machine's nor virlan's.",
  ),
  tunnel: nullable(tunnel, 'The tunnel to other hosts; null for a network that is on this host only.'),
  shared: nullable(
    shared,
    "What the hosts of a cluster share by etcd; null where the ledger is this host's own.",
  ),
  problems: described(v.array(v.string()), 'What is wrong, as texts.'),
  faults: described(
    v.array(
      v.object({
        code: described(v.string() as v.GenericSchema<Fault['code']>, 'Codes are added, never renamed.'),
        text: described(v.string(), 'One line, with the remedy.'),
        fix: nullable(fix, 'The command against it.'),
      }),
    ),
    'The problems for programs.',
  ),
  probe: nullable(probe, "The watcher's last probe."),
  machines: described(v.array(machine), 'One object for each NIC of each machine.'),
});

export const statusSchema = v.object({
  virlan: described(v.string(), 'The version.'),
  watcher: v.object({
    running: v.boolean(),
    pid: v.nullable(integer()),
    libvirt: described(v.string(), '`connected`, `disconnected`, or `unknown` without a watcher.'),
  }),
  networks: v.array(network),
  notes: described(v.array(v.string()), "What follows from the removal of libvirt's network `default`."),
});

type Unchanging<T> = { readonly [Key in keyof T]: Unchanging<T[Key]> };
type Described = Unchanging<v.InferOutput<typeof statusSchema>>;

// The compiler names a field that is only here, or only in the status.
null as unknown as Status satisfies Described;
null as unknown as Described satisfies Status;
