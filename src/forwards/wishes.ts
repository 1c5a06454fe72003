// The forwards that a machine asks for: in its metadata, which is hostile, and in virlan.ini.
//   <virlan:machine xmlns:virlan="urn:virlan:machine:1">
//     <virlan:forward port="8443" to="443"/>
//     <virlan:forward protocol="udp" port="30000-30010" address="192.0.2.5" from="10.0.0.0/8"/>
import { parseIpv4 } from '../address/ip.ts';
import type { MachineSection } from '../config/config.ts';
import { type Forward, formatForward, makeForward, parseClients, parsePortSpan } from '../config/forward.ts';
import type { Domain, MetadataElement } from '../libvirt/domain-xml.ts';
import { forwardElements } from './asks.ts';
import type { ForwardAttribute, ForwardProblem } from './problem.ts';

/** Most forwards of a machine's metadata that are read. */
export const maxForwards = 128;

/** The place that says that a machine has a forward. */
export type ForwardSource = 'metadata' | 'virlan.ini';

export interface WantedForward {
  readonly forward: Forward;
  readonly source: ForwardSource;
}

export interface ForwardWishes {
  readonly wanted: readonly WantedForward[];
  readonly problems: readonly ForwardProblem[];
}

/** Returns what a machine asks for; each forward once, and those of virlan.ini first. */
export function forwardWishes(
  { name, metadata }: Pick<Domain, 'name' | 'metadata'>,
  sections: readonly MachineSection[],
): ForwardWishes {
  const configured = sections.find(section => section.name === name)?.forwards ?? [];
  const elements = forwardElements(metadata);
  if (configured.length + elements.length === 0) return { wanted: [], problems: [] };
  const read = elements.slice(0, maxForwards).map(readElement);
  const own = read.flatMap(each => (each.ok ? [each.forward] : []));
  const tooMany = elements.length > maxForwards ? [{ kind: 'too-many', limit: maxForwards } as const] : [];
  const all = new Map<string, WantedForward>();
  for (const [forwards, source] of [
    [configured, 'virlan.ini'],
    [own, 'metadata'],
  ] as const)
    for (const forward of forwards) {
      const text = formatForward(forward);
      if (!all.has(text)) all.set(text, { forward, source });
    }
  return {
    wanted: [...all.values()],
    problems: [...read.flatMap(each => (each.ok ? [] : [each.problem])), ...tooMany],
  };
}

/** A forward or the reason why there is none. The discriminant is `ok`, as in result.ts. */
type ReadForward =
  | { readonly ok: true; readonly forward: Forward }
  | { readonly ok: false; readonly problem: ForwardProblem };

/** Reads the element of one forward. */
export function readElement({ attributes }: Pick<MetadataElement, 'attributes'>): ReadForward {
  const invalid = (attribute: ForwardAttribute): ReadForward => ({
    ok: false,
    problem: { kind: 'invalid', attribute, value: attributes.get(attribute) ?? null },
  });
  const protocol = attributes.get('protocol') ?? 'tcp';
  if (protocol !== 'tcp' && protocol !== 'udp') return invalid('protocol');
  const port = attributes.get('port') ?? '';
  const target = attributes.get('to') ?? port;
  const [ports, to] = [parsePortSpan(port), parsePortSpan(target)];
  if (ports === null) return invalid('port');
  if (to === null) return invalid('to');
  const address = optional(attributes.get('address'), parseIpv4);
  if (address === undefined) return invalid('address');
  const from = optional(attributes.get('from'), parseClients);
  if (from === undefined) return invalid('from');
  const forward = makeForward({ protocol, address, from }, ports, to);
  return forward === null
    ? { ok: false, problem: { kind: 'unequal', port, to: target } }
    : { ok: true, forward };
}

/** Returns null for an absent attribute, and undefined for one that cannot be read. */
function optional<T>(text: string | undefined, parse: (text: string) => T | null): T | null | undefined {
  return text === undefined ? null : (parse(text) ?? undefined);
}
