// The words of steps and of their objects. Pure.
import { type Family, formatIp } from '../../address/ip.ts';
import type { BackendName } from '../../firewall/backend.ts';
import { backends } from '../../firewall/backends.ts';
import type { RuleDrift } from '../../firewall/drift.ts';
import type { LinkNames } from '../../host-names/resolved.ts';
import type { OtherFirewallChange } from '../../other-firewalls/registry.ts';
import { formatAddress, isForGuard, type LinkAddress, type LinkChange } from '../state/state.ts';

/** The text of a step in a plan. */
export interface Description {
  readonly sign: '+' | '~' | '-';
  readonly subject: string;
  readonly detail: string;
  /** Details, one line each; mostly none. */
  readonly lines: readonly string[];
}

export function line(
  sign: Description['sign'],
  subject: string,
  detail = '',
  lines: readonly string[] = [],
): Description {
  return { sign, subject, detail, lines };
}

/** Describes lines of a file that are missing or stale. */
export function describeLines(
  path: string,
  { missing, stale }: { readonly missing: readonly string[]; readonly stale: readonly string[] },
): Description {
  const lines = [...missing.map(text => `+ ${text}`), ...stale.map(text => `- ${text}`)];
  return line('~', path, `${lines.length} of its lines`, lines);
}

/** Names the domains that are asked at a link; of several reverse zones one. */
export function domainsText({ domains }: LinkNames): string {
  const [first, second, ...more] = domains.map(({ name }) => name);
  return [first, ...(second === undefined ? [] : [`${second}${more.length === 0 ? '' : ', …'}`])].join(', ');
}

export function describeLinkChange(step: { readonly link: string } & LinkChange): Description {
  const { link, attribute } = step;
  if (step.attribute === 'bridge') {
    const leaves = step.from === null ? '' : `, out of ${step.from}`;
    return line('~', link, step.to === null ? `out of ${step.from}` : `into ${step.to}${leaves}`);
  }
  if (isForGuard(step)) return line('~', link, 'frames to bridges pass the guard');
  if (step.attribute === 'group_fwd_mask')
    return line('~', link, 'out of the spanning tree, whose root it led to');
  const { from, to } = linkValues(step);
  return line('~', `${attribute === 'state' ? 'link' : attribute} of ${link}`, `${from} → ${to}`);
}

export function linkValues(step: LinkChange): { from: string; to: string } {
  const text = (value: string | number | boolean | null) =>
    typeof value === 'boolean' ? onOff(value) : String(value ?? '');
  return { from: text(step.from), to: text(step.to) };
}

export function describeAddress(address: LinkAddress): string {
  const broadcast = address.broadcast === null ? '' : `, broadcast ${formatIp(address.broadcast)}`;
  return `${formatAddress(address)}${broadcast}`;
}

export function describeDrift(drift: RuleDrift): string {
  switch (drift.kind) {
    case 'missing':
      return `- ${drift.rule}`;
    case 'added':
      return `+ ${drift.rule}`;
    case 'reordered':
      return 'rules are in another order, or duplicated';
    case 'overruled':
      return `behind ${drift.rule}`;
  }
}

export function driftFault(drift: RuleDrift): string {
  return drift.kind === 'reordered' ? describeDrift(drift) : `${drift.kind}: ${drift.rule}`;
}

export function ownRules(backend: BackendName, family: Family): string {
  return `virlan's rules (${backendText(backend, family)})`;
}

const familySuffix: Readonly<Record<Family, string>> = { ipv4: '', ipv6: ', IPv6' };

/** Names the rules of one family: `nftables, IPv6`. */
export function backendText(backend: BackendName, family: Family): string {
  return `${backend}${familySuffix[family]}`;
}

export function countOf(script: string, backend: BackendName): string {
  const rules = backends[backend].countRules(script.split('\n'));
  return `${rules} ${rules === 1 ? 'rule' : 'rules'}`;
}

export function lineCount({ rules }: OtherFirewallChange): string {
  return `${rules.length} ${rules.length === 1 ? 'line' : 'lines'}`;
}

export function modeText(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

export function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}

/** Returns the lines that are removed and added; none for a new file. */
export function compareText(from: string | null, to: string): string[] {
  if (from === null) return [];
  const [before, after] = [from.split('\n'), to.split('\n')];
  return [
    ...before.filter(text => !after.includes(text)).map(text => `- ${text}`),
    ...after.filter(text => !before.includes(text)).map(text => `+ ${text}`),
  ];
}

export function changeCount(changes: number): string {
  return `${changes} ${changes === 1 ? 'change' : 'changes'}`;
}
