import { digest } from './digest.ts';

/** The longest label of RFC 1123. */
const longest = 63;

/** Names with a meaning of their own on a network, and words that dnsmasq reads as options in a hostsfile (option.c, LOPT_DHCP_HOST). */
const reserved = new Set(['localhost', 'wpad', 'isatap', 'gateway', 'ignore', 'infinite']);

/** What dnsmasq takes for a lease time where a name may stand: `7`, `24h`. */
const leaseTime = /^\d+[wdhms]?$/;

/**
 * The RFC 1123 label of a machine: its name where that is one already, else the nearest. Names are hostile, so nothing
 * but what comes out of here goes into a file of dnsmasq. The first of the name's candidates that is not taken: the
 * plain label, then the label with a hash of the whole name behind it, so that two names with one label are told apart.
 */
export function machineLabel(name: string, nic: number, taken: (label: string) => boolean): string {
  const place = nic === 0 ? '' : `-${nic}`;
  const plain = sanitized(name);
  const label = withSuffix(plain, place);
  if (isLabel(label) && !taken(label)) return label;
  for (let attempt = 0; ; attempt++) {
    const hash = digest(`virlan:label:${name}:${attempt}`).toString('hex').slice(0, 6);
    const told = withSuffix(plain === '' ? 'vm' : plain, `-${hash}${place}`);
    if (!taken(told)) return told;
  }
}

/** Whether a text is a label as it stands, as `hostname=` of a machine's metadata has to be. */
export function isLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) && !reserved.has(text) && !leaseTime.test(text);
}

function sanitized(name: string): string {
  return trimDashes(name.toLowerCase().replace(/[^a-z0-9]+/g, '-'));
}

function withSuffix(label: string, suffix: string): string {
  return trimDashes(label.slice(0, longest - suffix.length)) + suffix;
}

function trimDashes(text: string): string {
  return text.replace(/^-+|-+$/g, '');
}
