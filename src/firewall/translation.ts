// Translations: the elements by which a backend leads ports of the host to a machine (DNAT). One forward is
// one translation, or one for each port of a range that leads to other ports.
import { formatIp, formatPrefix, type Ipv4 } from '../address/ip.ts';
import { type Forward, formatSpan, type PortSpan } from '../config/forward.ts';

export interface Translation extends Pick<Forward, 'protocol' | 'address' | 'from'> {
  /** The host's ports. */
  readonly ports: PortSpan;
  /** The machine's address. */
  readonly to: Ipv4;
  /** The machine's port; null for a range of ports, which are the same there. */
  readonly toPort: number | null;
}

/** Returns the translations that make up a forward to a machine with this address. */
export function translationsOf(forward: Forward, to: Ipv4): Translation[] {
  const { protocol, address, from, first, last } = forward;
  const common = { protocol, address, from, to };
  if (first !== last && forward.to === first) return [{ ...common, ports: { first, last }, toPort: null }];
  return Array.from({ length: last - first + 1 }, (_, offset) => ({
    ...common,
    ports: { first: first + offset, last: first + offset },
    toPort: forward.to + offset,
  }));
}

/** Returns a text for people: `tcp/8443 → 192.168.100.57:443`. */
export function translationText({ protocol, ports, address, from, to, toPort }: Translation): string {
  const on = address === null ? '' : ` on ${formatIp(address)}`;
  const clients = from === null ? '' : ` from ${formatPrefix(from)}`;
  return `${protocol}/${formatSpan(ports)}${on}${clients} → ${formatIp(to)}${toPort === null ? '' : `:${toPort}`}`;
}

/** A change of the translations of a network: `all` is what is to exist after it. */
export interface TranslationsChange {
  readonly all: readonly Translation[];
  readonly missing: readonly Translation[];
  readonly stale: readonly Translation[];
}

/** Compares translations. */
export function compareTranslations(
  wanted: readonly Translation[],
  found: readonly Translation[],
): TranslationsChange {
  const [wantedKeys, foundKeys] = [wanted.map(keyOf), found.map(keyOf)];
  const [wantedSet, foundSet] = [new Set(wantedKeys), new Set(foundKeys)];
  return {
    all: wanted,
    missing: wanted.filter((_, index) => !foundSet.has(wantedKeys[index] ?? '')),
    stale: found.filter((_, index) => !wantedSet.has(foundKeys[index] ?? '')),
  };
}

/** Returns a text that is equal for equal translations. A thousand of them take a millisecond. */
function keyOf({ protocol, ports, address, from, to, toPort }: Translation): string {
  return [protocol, ports.first, ports.last, address, from?.network, from?.length, to, toPort].join();
}
