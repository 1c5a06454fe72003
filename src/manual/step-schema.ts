// The form of the steps in `virlan plan --json`, for docs/schema/plan.json; commands/step-list.ts writes them.
import * as v from 'valibot';
import type { StepName } from '../network/steps/steps.ts';
import { otherFirewallNames } from '../other-firewalls/model.ts';
import { described, integer, nullable } from './schema-parts.ts';

const text = v.string();
const family = v.picklist(['ipv4', 'ipv6']);
const backend = v.picklist(['nftables', 'iptables']);
const manager = v.picklist(['NetworkManager', 'systemd-networkd']);
const firewall = v.picklist(otherFirewallNames);
const address = v.object({ ip: text, prefixLength: integer, broadcast: nullable(text, 'Null for none.') });
const drift = described(
  v.array(
    v.object({ kind: v.picklist(['missing', 'added', 'reordered', 'overruled']), rule: v.optional(text) }),
  ),
  'How the rules in the kernel differ from those that virlan loaded.',
);
const treatment = v.object({
  subnet: text,
  isTranslated: described(v.boolean(), "Whether machines' addresses are translated."),
});
const lines = { network: text, bridge: text, missing: v.array(text), stale: v.array(text) };
const elements = described(v.record(text, v.array(text)), 'By the name of the set.');
const linkNames = v.object({
  servers: v.array(text),
  domains: v.array(v.object({ name: text, routingOnly: v.boolean() })),
  isConfined: v.boolean(),
});
const bridgeState = v.object({
  mac: text,
  mtu: described(integer, 'In bytes.'),
  stp: v.boolean(),
  priority: integer,
  forwardDelay: nullable(integer, 'In hundredths of a second.'),
  up: v.boolean(),
  arp: v.boolean(),
  addresses: v.array(address),
});
const dummyState = v.object({ mac: text, mtu: integer, up: v.boolean(), master: v.nullable(text) });
const tunnel = v.object({
  mac: text,
  mtu: described(integer, 'In bytes.'),
  vni: integer,
  local: described(text, 'The address of this host.'),
  peers: described(v.array(text), 'The addresses of the other hosts; none where FRR names them.'),
  learns: described(
    v.boolean(),
    'Whether the kernel learns from frames where machines are; otherwise FRR does.',
  ),
  as: nullable(integer, 'The AS in which FRR learns it; null where it does not.'),
  filter: described(text, 'The tables of nftables.'),
});
const otherRules = { firewall, bridge: text, rules: v.array(v.objectWithRest({ kind: text }, v.unknown())) };

const bgpChange = {
  as: integer,
  isNew: described(v.boolean(), 'Whether there is no instance of BGP yet.'),
  removes: nullable(integer, 'The AS of an instance of BGP that is removed as a whole.'),
  surplus: described(v.array(text), 'Lines that are removed.'),
  missing: described(v.array(text), 'Lines that are added.'),
  problem: nullable(text, 'Why that is not possible, with the remedy.'),
};

/** The fields of each kind of step besides `do` and those that describe it. */
const fields: { readonly [Name in StepName]: v.ObjectEntries } = {
  'add bridge': { link: text, state: bridgeState },
  'rename bridge': { link: text, to: text },
  'add dummy': { link: text, state: dummyState },
  'remove link': { link: text, type: v.picklist(['bridge', 'dummy', 'vxlan']) },
  'add tunnel': { link: text, tunnel },
  'connect tunnel': { link: text, bridge: text, tunnel, drift },
  'set peers': { link: text, missing: v.array(text), surplus: v.array(text) },
  'remove tunnel filter': { bridge: text },
  'configure bgp': bgpChange,
  'withdraw bgp': bgpChange,
  'set link': {
    link: text,
    attribute: text,
    from: v.nullable(v.union([text, integer, v.boolean()])),
    to: v.nullable(v.union([text, integer, v.boolean()])),
  },
  'add entry': { link: text, entry: v.object({ mac: text, isSticky: v.boolean() }) },
  'filter vlans': { link: text, defaultVlan: integer },
  'set vlans': {
    link: text,
    bridge: text,
    vlans: v.array(v.object({ vid: integer, isPvid: v.boolean(), isUntagged: v.boolean() })),
  },
  'add address': { link: text, address },
  'remove address': { link: text, address },
  'add route': { link: text, address },
  'set sysctl': { key: text, from: v.nullable(text), to: text },
  'write file': { path: text, from: nullable(text, 'The old content; null for a new file.'), to: text },
  'remove file': { path: text, from: text },
  'claim links': { manager, bridge: text, from: v.nullable(text), to: text },
  'release links': { manager, bridge: text, from: text },
  'set mode': { bridge: text, path: text, from: integer, to: integer },
  'load rules': {
    backend,
    family,
    bridge: text,
    role: v.picklist(['primary', 'companion']),
    script: text,
    drift,
  },
  'remove rules': { backend, family, bridge: text },
  'end connections': { bridge: text, from: treatment, to: treatment },
  'remove leftovers': { family, flavour: v.picklist(['nft', 'legacy']), bridge: text },
  'load guard': {
    bridge: text,
    table: text,
    taps: v.array(text),
    isPresent: described(v.boolean(), 'Whether a table of the guard is there.'),
    drift,
  },
  'change guard': { bridge: text, missing: elements, surplus: elements },
  'remove guard': { bridge: text },
  'change forwards': { backend, bridge: text, missing: v.array(text), stale: v.array(text) },
  'allow in': otherRules,
  'withdraw from': otherRules,
  'write reservations': lines,
  'write names': lines,
  'tell resolved': { bridge: text, from: v.nullable(linkNames), to: linkNames },
  'revert resolved': { bridge: text },
  'tell NetworkManager': { bridge: text, from: v.nullable(text), to: text },
  'forget NetworkManager': { bridge: text },
  'start dnsmasq': { bridge: text },
  'stop dnsmasq': {
    bridge: text,
    pid: integer,
    isStopped: v.boolean(),
    isUnbound: v.boolean(),
    hasOtherLeases: v.boolean(),
  },
};

/** The form of one step. */
export const stepSchema = v.variant(
  'do',
  Object.entries(fields).map(([kind, entries]) =>
    v.object({
      do: v.literal(kind),
      ...entries,
      text: described(text, 'Describes the step for people.'),
      sign: described(v.picklist(['+', '~', '-']), 'Whether it adds, changes or removes something.'),
      lines: described(v.array(text), 'Details for people.'),
    }),
  ),
);
