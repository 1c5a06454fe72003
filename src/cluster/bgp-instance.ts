// The BGP instance of a host, as FRR shows it: its neighbours, and what they carry. Pure. A sample is in bgp.ts.
import { formatIp, type Ipv4 } from '../address/ip.ts';

/** A command of FRR in the block of a BGP instance; `family` is null outside of its address families. */
export interface BgpLine {
  readonly family: string | null;
  /** Holds the command as FRR lists it: `neighbor 10.0.0.2 peer-group virlan`. */
  readonly command: string;
}

/** The BGP instance of the host itself. Its commands are the administrator's. */
export interface BgpInstance {
  readonly as: number;
  readonly lines: readonly BgpLine[];
}

/** The address family by which hosts tell each other where machines are. */
export const evpn = 'l2vpn evpn';

/** The family that a neighbour carries by default. */
const unicast = 'ipv4 unicast';

/** Reads the block of the host's own instance, not those of VRFs; null if there is none. */
export function parseInstance(config: string): BgpInstance | null {
  const lines: BgpLine[] = [];
  let as: number | null = null;
  let family: string | null = null;
  let isInside = false;
  for (const raw of config.split('\n')) {
    const command = raw.trim();
    const [, opened] = /^address-family (.+)$/.exec(command) ?? [];
    const [, number] = /^router bgp (\S+)(?: as-notation \S+)?$/.exec(raw.trimEnd()) ?? [];
    if (number !== undefined) {
      as = parseAs(number);
      family = null;
      isInside = true;
    } else if (command === '!' || command === '') continue;
    else if (!/^\s/.test(raw)) isInside = false;
    else if (!isInside) continue;
    else if (opened !== undefined) family = opened;
    else if (command === 'exit-address-family') family = null;
    else lines.push({ family, command });
  }
  return as === null ? null : { as, lines };
}

/** Reads the number of an AS, as `65000` or `1.10`. */
function parseAs(text: string): number | null {
  const [, high, low] = /^(\d{1,5})\.(\d{1,5})$/.exec(text) ?? [];
  if (high !== undefined) return Number(high) * 65_536 + Number(low);
  return /^\d{1,10}$/.test(text) ? Number(text) : null;
}

/**
 * Returns the families that a new neighbour carries. FRR shows what a neighbour carries only where that differs.
 */
export function defaultFamilies(instance: BgpInstance | null): string[] {
  const commands = (instance?.lines ?? []).flatMap(({ family, command }) => (family === null ? command : []));
  // `bgp default ipv6-unicast`, but not `bgp default local-preference 100`.
  const more = commands.flatMap(command => {
    const [, protocol, kind] = /^bgp default (ipv4|ipv6|l2vpn)-(\S+)$/.exec(command) ?? [];
    return protocol === undefined ? [] : [`${protocol} ${kind}`];
  });
  return [...(commands.includes('no bgp default ipv4-unicast') ? [] : [unicast]), ...more];
}

/** Returns whether a neighbour, or a peer group, carries a family; one that does not exist yet, as a new one would. */
export function carries(instance: BgpInstance | null, name: string, family: string): boolean {
  const has = (command: string) => instance?.lines.some(line => isSame(line, { family, command })) === true;
  if (has(`neighbor ${name} activate`)) return true;
  if (has(`no neighbor ${name} activate`)) return false;
  const group = instance === null ? null : groupOf(instance, name);
  return group === null ? defaultFamilies(instance).includes(family) : carries(instance, group, family);
}

/** Returns whether there is a neighbour of an address. */
export function isNeighbour(instance: BgpInstance, address: Ipv4): boolean {
  return optionsOf(instance, formatIp(address)).length > 0;
}

/** Returns the peer group that a neighbour is in; null for none. */
export function groupOf(instance: BgpInstance, neighbour: string): string | null {
  return optionOf(instance, neighbour, 'peer-group');
}

/** Returns the value of an option of a neighbour or a peer group; null for none. */
export function optionOf(instance: BgpInstance, neighbour: string, name: string): string | null {
  return optionsOf(instance, neighbour).find(([option]) => option === name)?.[1] ?? null;
}

/** Returns what follows `neighbor NAME` in each command about a neighbour or a peer group, as words. */
function optionsOf({ lines }: BgpInstance, neighbour: string): string[][] {
  return lines.flatMap(({ command }) => {
    const [keyword, name, ...option] = command.split(' ');
    return keyword === 'neighbor' && name === neighbour ? [option] : [];
  });
}

/** Returns whether two lines are the same command in the same address family. */
export function isSame(a: BgpLine, b: BgpLine): boolean {
  return a.family === b.family && a.command === b.command;
}
