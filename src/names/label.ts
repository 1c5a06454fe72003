// Labels: host names of machines, made from names that may hold anything.
import { digest } from './digest.ts';

/** The longest label of RFC 1123. */
const maxLength = 63;

/**
 * Names with a special meaning in a network, and words that dnsmasq reads as options (option.c,
 * LOPT_DHCP_HOST).
 */
const reserved = new Set(['localhost', 'wpad', 'isatap', 'gateway', 'ignore', 'infinite']);

/** Texts that dnsmasq reads as a lease time in the place of a name: `7`, `24h`. */
const leaseTime = /^\d+[wdhms]?$/;

/**
 * Returns the RFC 1123 label of a machine's NIC: the name if it is a label, else one made from it. Names are
 * hostile: only the result of this function goes into a file of dnsmasq. If the plain label is taken, it gets
 * a hash of the whole name appended, so that two names with one label are told apart.
 */
export function machineLabel(name: string, nic: number, isTaken: (label: string) => boolean): string {
  const place = nic === 0 ? '' : `-${nic}`;
  const plain = sanitized(name);
  const label = withSuffix(plain, place);
  if (isLabel(label) && !isTaken(label)) return label;
  for (let attempt = 0; ; attempt++) {
    const hash = digest(`virlan:label:${name}:${attempt}`).toString('hex').slice(0, 6);
    const distinct = withSuffix(plain === '' ? 'vm' : plain, `-${hash}${place}`);
    if (!isTaken(distinct)) return distinct;
  }
}

/** Returns whether a text can be a host name: a label that is not reserved. */
export function isLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) && !reserved.has(text) && !leaseTime.test(text);
}

/** Returns whether a text, in lower case, can be a host name with or without a domain. */
export function isHostName(text: string): boolean {
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
  return text.length <= 253 && text.split('.').every(part => label.test(part)) && text !== 'localhost';
}

function sanitized(name: string): string {
  return trimDashes(name.toLowerCase().replace(/[^a-z0-9]+/g, '-'));
}

function withSuffix(label: string, suffix: string): string {
  return trimDashes(label.slice(0, maxLength - suffix.length)) + suffix;
}

function trimDashes(text: string): string {
  return text.replace(/^-+|-+$/g, '');
}
