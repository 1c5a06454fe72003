// Reads the wishes for the guard from a machine's metadata:
//   <virlan:machine xmlns:virlan="urn:virlan:machine:1" guard="strict" group="shop">
//     <virlan:allow address="192.168.100.240-192.168.100.250"/>
//   </virlan:machine>
import { type Ipv4Range, parseIpv4 } from '../address/ip.ts';
import type { GuardMode } from '../config/config.ts';
import { machineNamespace, readGroup } from '../identity/machine.ts';
import type { Domain, MetadataElement } from '../libvirt/domain-xml.ts';

/** A part of the metadata that is not valid, and counts as missing: what is in excess of `maxRanges` as well. */
export type InvalidWish = 'guard' | 'allow' | 'allow-count';

export interface GuardWishes {
  /** Null where the machine has the mode of its network. */
  readonly mode: GuardMode | null;
  /** The group of machines that it reaches where machines are isolated. Hostile. */
  readonly group: string | null;
  /** Addresses that it may use besides its own. */
  readonly allowed: readonly Ipv4Range[];
  readonly invalid: readonly InvalidWish[];
}

/** Most ranges of one machine. */
export const maxRanges = 64;

/** Reads the wishes from a domain's metadata, which is hostile. */
export function readGuardWishes({ metadata }: Pick<Domain, 'metadata'>): GuardWishes {
  const element = metadata.find(({ namespace }) => namespace === machineNamespace);
  if (element === undefined) return { mode: null, group: null, allowed: [], invalid: [] };
  const text = element.attributes.get('guard');
  const mode = modes.find(each => each === text) ?? null;
  const allows = element.children.filter(isAllow);
  const ranges = allows.slice(0, maxRanges).map(readRange);
  const invalid: InvalidWish[] = [];
  if (text !== undefined && mode === null) invalid.push('guard');
  if (ranges.includes(null)) invalid.push('allow');
  if (allows.length > maxRanges) invalid.push('allow-count');
  return {
    mode,
    group: readGroup(element.attributes),
    allowed: joinRanges(ranges.filter(range => range !== null)),
    invalid,
  };
}

const modes: readonly GuardMode[] = ['others', 'strict', 'no'];

/** `virsh metadata --set` gives the namespace to the outermost element alone. */
function isAllow({ name, namespace }: MetadataElement): boolean {
  return name === 'allow' && (namespace === machineNamespace || namespace === '');
}

function readRange({ attributes }: MetadataElement): Ipv4Range | null {
  const [first = '', last = first, ...more] = (attributes.get('address') ?? '').split('-');
  const ends = [parseIpv4(first.trim()), parseIpv4(last.trim())] as const;
  const [low, high] = ends;
  return low === null || high === null || more.length > 0 || low > high ? null : { first: low, last: high };
}

/** Returns the same addresses as ranges that neither overlap nor touch: the kernel refuses others. */
function joinRanges(ranges: readonly Ipv4Range[]): Ipv4Range[] {
  const joined: Ipv4Range[] = [];
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before === undefined || range.first > before.last + 1) joined.push(range);
    else if (range.last > before.last) joined.splice(-1, 1, { first: before.first, last: range.last });
  }
  return joined;
}
