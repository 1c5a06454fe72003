// builders.ts: values that many unit tests use: addresses, networks, ledger entries and hostile names.
import fc from 'fast-check';
import { type Family, type Ipv4, parseIpv4 } from '../../src/address/ip.ts';
import { type Mac, parseMac } from '../../src/address/mac.ts';
import type { Config, NetworkConfig } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/parse.ts';
import type { ProbedPath } from '../../src/diagnosis/probe/ways.ts';
import type { Ruleset } from '../../src/firewall/rule.ts';
import { makeRuleset, waysOut } from '../../src/firewall/ruleset.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import type { BridgeState } from '../../src/network/state/state.ts';
import type { OtherFirewallsReading } from '../../src/other-firewalls/model.ts';

// Otherwise only the error's cause says why a property failed, and uvu does not print causes.
fc.configureGlobal({ includeErrorInReport: true });

/** The input of a decision on a host without reservations, leases and names. */
export const newHost = {
  hostsfile: { ours: [], byHand: [], configured: [] },
  names: '',
  leases: () => [],
  answered: new Set<Ipv4>(),
  isRunning: () => false,
  hostName: 'sandbox',
  hostMacs: [],
};

/** Returns the state of a bridge as virlan makes it, with these addresses. */
export function bridgeWith(addresses: BridgeState['addresses']): BridgeState {
  return {
    mac: mac(1),
    mtu: 1500,
    stp: true,
    priority: 0,
    forwardDelay: 200,
    up: true,
    arp: true,
    addresses,
  };
}

/** Parses an IPv4 address. */
export function ip(text: string): Ipv4 {
  return required(parseIpv4(text), text);
}

/** Parses a whole MAC, or returns the MAC 52:54:00:00:00:XX with this last byte. */
export function mac(text: string | number): Mac {
  const digits = (number: number) =>
    number
      .toString(16)
      .padStart(6, '0')
      .replace(/..(?=.)/g, '$&:');
  const full = typeof text === 'string' ? text : `52:54:00:${digits(text)}`;
  return required(parseMac(full), full);
}

/** Parses a valid configuration. */
export function config(text: string): Config {
  const result = parseConfig(text);
  return required(result.ok ? result.config : null, JSON.stringify(result));
}

/** Returns the network k8s-br0 with these lines in its section; more sections may follow. */
export function network(...lines: readonly string[]): NetworkConfig {
  return required(config(['[network.k8s-br0]', ...lines].join('\n')).networks[0], lines.join());
}

/** Returns the IPv4 or IPv6 rules of a network that has rules. */
export function rulesetOf(
  config: NetworkConfig,
  family: Family = 'ipv4',
  defaultLinks: readonly string[] = [],
): Ruleset {
  return required(makeRuleset(config, family, waysOut(config, defaultLinks)), config.mode);
}

/** The part of a NIC that most machines' XML does not mention. */
export const asMade = { device: null, isUp: true, mtu: null, isolated: false, teamed: false } as const;

export const aDate = new Date('2026-11-22T10:00:00Z');

/** Returns a valid ledger entry with these changes. */
export function entry(changes: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    network: 'k8s-br0',
    uuid: uuid(1),
    name: 'web',
    nic: 0,
    macs: [mac(1)],
    ip: ip('192.168.100.7'),
    hostname: 'web',
    aliases: [],
    boot: null,
    group: null,
    isolated: false,
    refusedAliases: [],
    firstSeen: aDate,
    lastSeen: aDate,
    macOrigin: 'own',
    replacedMac: null,
    booted: false,
    retired: null,
    problem: null,
    host: null,
    revision: null,
    ...changes,
  };
}

/** Returns a UUID that ends with this number. */
export function uuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** Names of machines that could break a file, a search, a command or a terminal. */
export const hostileNames = [
  '',
  '-',
  '...',
  '7',
  '24h',
  'ignore',
  'infinite',
  'localhost',
  'WEB.example.org',
  'web,192.168.100.1',
  'web,ignore',
  'set:evil,web',
  'x\n52:54:00:00:00:01,192.168.100.66',
  'x\r\n#',
  '#web',
  ' # virlan',
  'it\'s <a> "vm" & $(id)',
  '","ip":"192.168.100.7',
  '\\","uuid":"x',
  '{"name":"web"}',
  '\u202egnp.exe',
  '\u001b[31mred',
  'é=x',
  'ПриветМир',
  '虚拟机-7',
  '💥',
  '\ud800',
  'a'.repeat(64),
  `${'b'.repeat(62)}-c`,
];

/** Hostile names, any code points, any UTF-16 units, and short names of few characters, which often clash. */
export const anyName = fc.oneof(
  fc.constantFrom(...hostileNames),
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: fc.nat(0xffff).map(unit => String.fromCharCode(unit)), maxLength: 80 }),
  fc.string({
    unit: fc.constantFrom('a', 'B', '7', 'h', '-', '.', ' ', ',', '"', '\\', '\n', 'İ'),
    maxLength: 6,
  }),
);

/** A host without any other firewall. */
export const noFirewalls: OtherFirewallsReading = {
  chains: [],
  iptables: [],
  legacy: new Map(),
  docker: { hasRun: false },
  ufw: null,
  firewalld: null,
  unread: [],
};

function required<T>(value: T | null | undefined, input: string): T {
  if (value == null) throw new Error(`invalid input of a test: ${input}`);
  return value;
}

/** Names the links and addresses that a probe's packets pass on a host with one uplink. */
export const probedPath: ProbedPath = {
  bridge: 'k8s-br0',
  ip: ip('192.168.100.254'),
  gateway: ip('192.168.100.1'),
  outside: 'eth0',
  nextHop: ip('203.0.113.2'),
};
