// Policies of IPsec in the kernel: they drop packets, send them into a tunnel, or want them to have come out of one. No
// rule, trace or counter shows it. A line of `ip -oneline xfrm policy`, in which a backslash stands for a line break:
//   src 0.0.0.0/0 dst 192.168.100.0/24 \ dir out priority 7 ptype main \ tmpl src 203.0.113.1 dst 198.51.100.1\ …
import {
  formatPrefix,
  type Ipv4,
  type Prefix,
  parseIpv4,
  prefixContains,
  prefixOf,
} from '../../address/ip.ts';

/** A policy that takes packets. */
export interface TakingPolicy {
  readonly from: string;
  readonly to: string;
  readonly direction: IpsecDirection;
  /** The policy with the lowest number decides. */
  readonly priority: number;
  readonly effect: 'drops' | 'encrypts';
}

export interface IpsecPolicy {
  readonly source: Prefix<Ipv4>;
  readonly destination: Prefix<Ipv4>;
  readonly direction: IpsecDirection;
  readonly priority: number;
  /** `passes` also stands for packets that may, but need not, come out of a tunnel. */
  readonly effect: TakingPolicy['effect'] | 'passes';
}

/** Packets that this host receives, forwards or sends. Those that it forwards are judged by `fwd` and then by `out`. */
export type IpsecDirection = 'in' | 'fwd' | 'out';

/** Reads the output of `ip -oneline xfrm policy`. The policy that decides comes first. */
export function parseIpsecPolicies(listing: string): IpsecPolicy[] {
  return listing
    .split('\n')
    .flatMap(line => parsePolicy(line) ?? [])
    .sort((a, b) => a.priority - b.priority);
}

/** Returns the policy that takes a packet; null where it passes. */
export function findTakingPolicy(
  policies: readonly IpsecPolicy[],
  direction: IpsecDirection,
  { source, destination }: { readonly source: Ipv4; readonly destination: Ipv4 },
): TakingPolicy | null {
  const policy = policies.find(
    each =>
      each.direction === direction &&
      prefixContains(each.source, source) &&
      prefixContains(each.destination, destination),
  );
  if (policy === undefined || policy.effect === 'passes') return null;
  const { priority, effect } = policy;
  const [from, to] = [formatPrefix(policy.source), formatPrefix(policy.destination)];
  return { from, to, direction, priority, effect };
}

/** Reads one line. Null for a policy of IPv6, of a socket, or for some packets between its addresses only. */
function parsePolicy(line: string): IpsecPolicy | null {
  const [selector = '', rule = '', ...details] = line.split('\\');
  const [, from = '', to = ''] = /^src (\S+) dst (\S+) *$/.exec(selector) ?? [];
  const [, direction, action, priority] =
    /^\tdir (in|fwd|out) (?:action (block) )?.*\bpriority (\d+) /.exec(rule) ?? [];
  const [source, destination] = [parsePrefix(from), parsePrefix(to)];
  if (source === null || destination === null || !isDirection(direction)) return null;
  if (details.some(detail => /^\t(?:mark|if_id) /.test(detail))) return null;
  const isRequired =
    details.some(detail => detail.startsWith('\ttmpl ')) &&
    !details.some(detail => /\blevel use\b/.test(detail));
  const effect = action === 'block' ? 'drops' : isRequired ? 'encrypts' : 'passes';
  return { source, destination, direction, priority: Number(priority), effect };
}

function isDirection(text: string | undefined): text is IpsecDirection {
  return text === 'in' || text === 'fwd' || text === 'out';
}

function parsePrefix(text: string): Prefix<Ipv4> | null {
  const [address = '', length = '32'] = text.split('/');
  const parsed = parseIpv4(address);
  return parsed === null ? null : prefixOf(parsed, Number(length));
}
