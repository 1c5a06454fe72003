// Steps for links, their addresses and their routes: bridge, dummy NIC and taps.
import * as v from 'valibot';
import { familyOf, formatIp } from '../../address/ip.ts';
import { described, nullable } from '../../json-form.ts';
import { dummyName } from '../state/link-names.ts';
import {
  type BridgeState,
  type DesiredNetwork,
  type DummyState,
  formatAddress,
  formatDestination,
  isForGuard,
  type LinkAddress,
  type LinkChange,
  type ObservedNetwork,
} from '../state/state.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds, StepsOf } from './step-kind.ts';
import { describeAddress, describeLinkChange, line, linkValues, onOff } from './step-text.ts';

/** The fields of each kind. */
export interface LinkFields {
  'add bridge': { readonly link: string; readonly state: BridgeState };
  /** Gives the bridge its name back, which somebody has changed. */
  'rename bridge': { readonly link: string; readonly to: string };
  'add dummy': { readonly link: string; readonly state: DummyState };
  'remove link': { readonly link: string; readonly type: 'bridge' | 'dummy' | 'vxlan' };
  'set link': { readonly link: string } & LinkChange;
  'add address': { readonly link: string; readonly address: LinkAddress };
  'remove address': { readonly link: string; readonly address: LinkAddress };
  /** Adds the route to the network of an address that the link has. */
  'add route': { readonly link: string; readonly address: LinkAddress };
}

export type LinkStep = StepsOf<LinkFields>;

/** By type of link: what people call it. */
const linkNames: Readonly<Record<LinkFields['remove link']['type'], string>> = {
  bridge: 'bridge',
  dummy: 'dummy NIC',
  vxlan: 'tunnel',
};

export const linkKinds: Kinds<LinkFields> = {
  'add bridge': {
    describe: ({ link, state: { mac, mtu, stp } }) =>
      line('+', `bridge ${link}`, `${mac}, MTU ${mtu}, STP ${onOff(stp)}`),
    unit: ({ link }) => ({ kind: 'bridge', bridge: link }),
    goal: () => 'there',
    check: () => 'bridge',
    fault: ({ link }) => `there is no bridge ${link}`,
    json: ({ link, state }) => ({
      link,
      state: { ...state, addresses: state.addresses.map(addressJson) },
    }),
  },
  'rename bridge': {
    describe: ({ link, to }) => line('~', `bridge ${link}`, `is ${to} again`),
    unit: ({ to }) => ({ kind: 'bridge', bridge: to }),
    goal: () => 'named',
    check: () => 'bridge',
    fault: ({ link, to }) => `${to} was renamed ${link}`,
  },
  'add dummy': {
    describe: ({ link, state }) => line('+', `dummy NIC ${link}`, state.mac),
    unit: ({ link }) => ({ kind: 'dummy', link }),
    goal: () => 'there',
    check: () => 'settings',
    fault: ({ link }) => `there is no dummy NIC ${link}`,
  },
  'remove link': {
    describe: ({ link, type }) => line('-', `${linkNames[type]} ${link}`),
    unit({ link, type }, bridge) {
      switch (type) {
        case 'dummy':
          return { kind: 'dummy', link };
        case 'bridge':
          return { kind: 'bridge', bridge: link };
        case 'vxlan':
          return { kind: 'tunnel', bridge };
      }
    },
    goal: () => 'gone',
    check: () => 'settings',
    fault: ({ link }) => `${link} is not needed`,
  },
  'set link': {
    describe: describeLinkChange,
    unit: ({ link, attribute }) => ({ kind: 'link-attribute', link, attribute }),
    goal: ({ attribute, to }) => `${attribute} ${to}`,
    check(step, bridge) {
      const { link, attribute } = step;
      if (attribute === 'group_fwd_mask') return isForGuard(step) ? 'rules' : 'stp';
      if (link === dummyName(bridge) || (link !== bridge && attribute === 'mtu')) return 'settings';
      if (link !== bridge) return 'taps';
      return ['stp', 'priority', 'forward delay'].includes(attribute) ? 'stp' : 'bridge';
    },
    fault(step, bridge) {
      if (step.attribute === 'state') return `${step.link} is ${step.from}`;
      if (step.attribute === 'bridge') return `${step.link} is not in ${bridge}`;
      if (isForGuard(step)) return `frames of ${step.link} to bridges do not pass the guard`;
      if (step.attribute === 'group_fwd_mask')
        return `a guest's bridge, behind ${step.link}, is the root of the spanning tree`;
      const { from, to } = linkValues(step);
      return `${step.attribute} of ${step.link} is ${from}, not ${to}`;
    },
    isOptional: isForGuard,
  },
  'add address': {
    describe: ({ link, address }) => line('+', `address on ${link}`, describeAddress(address)),
    unit: ({ link, address }) => ({ kind: 'address', link, family: familyOf(address.ip) }),
    goal: ({ address }) => `+ ${addressGoal(address)}`,
    check: () => 'bridge',
    fault: ({ link, address }) => `${link} lacks its ${formatAddress(address)}`,
    json: linkAddressJson,
  },
  'remove address': {
    describe: ({ link, address }) => line('-', `address on ${link}`, describeAddress(address)),
    unit: ({ link, address }) => ({ kind: 'address', link, family: familyOf(address.ip) }),
    goal: ({ address }) => `- ${addressGoal(address)}`,
    check: () => 'bridge',
    fault: ({ link, address }) => `${link} has ${formatAddress(address)}, which is not configured`,
    json: linkAddressJson,
  },
  'add route': {
    describe: ({ link, address }) => line('+', `route on ${link}`, formatDestination(address)),
    unit: ({ link, address }) => ({ kind: 'route', link, family: familyOf(address.ip) }),
    goal: ({ address }) => formatDestination(address),
    check: () => 'bridge',
    fault: ({ link, address }) => `no route to ${formatDestination(address)} leads to ${link}`,
    json: linkAddressJson,
  },
};

function addressGoal(address: LinkAddress): string {
  return `${formatAddress(address)} ${address.broadcast}`;
}

function linkAddressJson({ link, address }: { readonly link: string; readonly address: LinkAddress }) {
  return { link, address: addressJson(address) };
}

function addressJson({ ip, prefixLength, broadcast }: LinkAddress): object {
  return { ip: formatIp(ip), prefixLength, broadcast: broadcast === null ? null : formatIp(broadcast) };
}

export function linkForms(): Forms<LinkFields> {
  const { address, integer, text } = formParts();
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
  const value = v.nullable(v.union([text, integer, v.boolean()]));
  return {
    'add bridge': { link: text, state: bridgeState },
    'rename bridge': { link: text, to: text },
    'add dummy': { link: text, state: dummyState },
    'remove link': { link: text, type: v.picklist(['bridge', 'dummy', 'vxlan']) },
    'set link': { link: text, attribute: text, from: value, to: value },
    'add address': { link: text, address },
    'remove address': { link: text, address },
    'add route': { link: text, address },
  };
}

export function planBridge({ bridge, link }: DesiredNetwork, observed: ObservedNetwork): LinkStep[] {
  const found = observed.link;
  if (link === null) return found === null ? [] : [{ kind: 'remove link', link: bridge, type: 'bridge' }];
  if (found === null) {
    return [
      { kind: 'add bridge', link: bridge, state: link },
      ...link.addresses.map(address => ({ kind: 'add address', link: bridge, address }) as const),
      ...setLink(bridge, { attribute: 'state', from: 'down', to: upOrDown(link.up) }),
    ];
  }
  const stp = setLink(bridge, { attribute: 'stp', from: found.stp, to: link.stp });
  const { forwardDelay: from } = found;
  const { forwardDelay: to } = link;
  const delay = from === null || to === null ? [] : setLink(bridge, { attribute: 'forward delay', from, to });
  return [
    ...setLink(bridge, { attribute: 'mac', from: found.mac, to: link.mac }),
    ...setLink(bridge, { attribute: 'mtu', from: found.mtu, to: link.mtu }),
    // With STP on, the kernel accepts 2 to 30 s only (br_set_forward_delay in net/bridge/br_stp.c).
    ...(link.stp ? [...delay, ...stp] : [...stp, ...delay]),
    ...setLink(bridge, { attribute: 'priority', from: found.priority, to: link.priority }),
    ...setLink(bridge, { attribute: 'arp', from: found.arp, to: link.arp }),
    ...planAddresses(bridge, link.addresses, found.addresses, observed.ownAddresses),
    ...setLink(bridge, { attribute: 'state', from: upOrDown(found.up), to: upOrDown(link.up) }),
    ...observed.unrouted.map(address => ({ kind: 'add route', link: bridge, address }) as const),
  ];
}

/**
 * Adds before it removes, so that the bridge is never without an address: removing the last one drops its
 * routes. An address whose broadcast alone differs has to be removed first, because the kernel changes no
 * broadcast in place.
 */
function planAddresses(
  link: string,
  wanted: readonly LinkAddress[],
  found: readonly LinkAddress[],
  own: readonly LinkAddress[],
): LinkStep[] {
  const has = (list: readonly LinkAddress[], address: LinkAddress) =>
    list.some(other => isSameAddress(other, address) && other.broadcast === address.broadcast);
  const isReplaced = (address: LinkAddress) => wanted.some(other => isSameAddress(other, address));
  const missing = wanted.filter(address => !has(found, address));
  const stale = found.filter(address => !has(wanted, address) && (has(own, address) || isReplaced(address)));
  const remove = (addresses: readonly LinkAddress[]) =>
    addresses.map(address => ({ kind: 'remove address', link, address }) as const);
  return [
    ...remove(stale.filter(isReplaced)),
    ...missing.map(address => ({ kind: 'add address', link, address }) as const),
    ...remove(stale.filter(address => !isReplaced(address))),
  ];
}

export function planDummy(
  { dummy: { name, state } }: DesiredNetwork,
  { dummy: found }: ObservedNetwork,
): LinkStep[] {
  if (state === null) return found === null ? [] : [{ kind: 'remove link', link: name, type: 'dummy' }];
  const now = found ?? { ...state, up: false, master: null };
  return [
    ...(found === null ? [{ kind: 'add dummy', link: name, state } as const] : []),
    ...setLink(name, { attribute: 'mac', from: now.mac, to: state.mac }),
    ...setLink(name, { attribute: 'mtu', from: now.mtu, to: state.mtu }),
    ...setLink(name, { attribute: 'bridge', from: now.master, to: state.master }),
    ...setLink(name, { attribute: 'state', from: upOrDown(now.up), to: upOrDown(state.up) }),
  ];
}

export function setLink(link: string, change: LinkChange): LinkStep[] {
  return change.from === change.to ? [] : [{ kind: 'set link', link, ...change }];
}

function isSameAddress(a: LinkAddress, b: LinkAddress): boolean {
  return a.ip === b.ip && a.prefixLength === b.prefixLength;
}

export function upOrDown(up: boolean): 'up' | 'down' {
  return up ? 'up' : 'down';
}
