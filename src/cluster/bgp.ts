// BGP by FRR, by which the hosts of a cluster tell each other where machines are (EVPN, RFC 8365): the lines that
// bgpd needs, those that it has, and the commands in between. Pure. virlan's neighbours are in a peer group of its
// name; the rest of the block may be the administrator's:
//
//   router bgp 65000
//    bgp router-id 10.0.0.1
//    neighbor virlan peer-group
//    neighbor virlan remote-as 65000
//    neighbor 10.0.0.2 peer-group virlan
//    !
//    address-family l2vpn evpn
//     neighbor virlan activate
//     advertise-all-vni
//    exit-address-family
//   exit
import { formatIp, type Ipv4, parseIpv4 } from '../address/ip.ts';
import {
  type BgpInstance,
  type BgpLine,
  carries,
  defaultFamilies,
  evpn,
  groupOf,
  isNeighbour,
  isSame,
  optionOf,
} from './bgp-instance.ts';

/** A host that speaks BGP with others of its own AS. */
export interface Speaker {
  readonly as: number;
  /** The address of this host, which is its identifier too. */
  readonly address: Ipv4;
  readonly neighbours: readonly Ipv4[];
}

/** The part of the running configuration that virlan added and that does not contain its name. */
export interface AddedBgp {
  /** True if there was no BGP instance. */
  readonly instance: boolean;
  readonly lines: readonly BgpLine[];
}

/** The configuration of bgpd as found. */
export interface FoundBgp {
  /** Null if there is none. */
  readonly instance: BgpInstance | null;
  /** The one of the file that FRR reads when it starts. */
  readonly startup: BgpInstance | null;
  /** This host as virlan's lines in it make it; null without them. */
  readonly speaker: Speaker | null;
  readonly added: AddedBgp;
  /** True if virlan has changed something since the host booted. */
  readonly isRecorded: boolean;
  /** True if another network has a tunnel that needs BGP. */
  readonly isShared: boolean;
  /** The reason why it cannot be read or changed; null for none. */
  readonly failure: BgpFailure | null;
}

/** A reason why bgpd cannot be configured at all. */
export type BgpFailure =
  | { readonly kind: 'no-frr' }
  | { readonly kind: 'not-running'; readonly program: 'bgpd' | 'zebra' }
  | { readonly kind: 'unreadable'; readonly message: string };

/** A reason why bgpd must not be configured, or cannot be. */
export type BgpProblem =
  | BgpFailure
  /** A host has one BGP instance, and this one has another AS. */
  | { readonly kind: 'other-as'; readonly as: number; readonly wanted: number; readonly isSaved: boolean }
  /** The administrator's own neighbour has an address of `peers`, and does not carry EVPN. */
  | { readonly kind: 'own-neighbour'; readonly neighbour: Ipv4; readonly as: number };

/** A change of bgpd's configuration. */
export interface BgpChange {
  /** The AS of the instance that is to contain the lines. */
  readonly as: number;
  /** True if the instance is virlan's. */
  readonly isNew: boolean;
  /** The AS of an instance that is removed as a whole, before others are added; null for none. */
  readonly removes: number | null;
  readonly surplus: readonly BgpLine[];
  /** In the order in which they are added. */
  readonly missing: readonly BgpLine[];
  readonly problem: BgpProblem | null;
}

const groupName = 'virlan';

/** Seconds between two signs of life, until a silent neighbour counts as gone, and until the next attempt. */
const timers = { keepalive: 3, hold: 9, connect: 3 };

/** Returns the change to what is wanted; null where nothing has to change. */
export function compareBgp(wanted: Speaker, found: FoundBgp): BgpChange | null {
  const { instance, startup, added } = found;
  const isReplaced = instance !== null && instance.as !== wanted.as && isWholly(instance, added);
  const kept = isReplaced ? null : instance;
  const neighbours = wanted.neighbours.filter(each => ![kept, startup].some(own => carriesEvpn(own, each)));
  const missing = wantedLines({ ...wanted, neighbours }, kept).filter(line => !isMet(line, kept, added));
  const surplus = (kept?.lines ?? []).filter(line => {
    const member = memberOf(line);
    return member !== null && !neighbours.includes(member);
  });
  const problem =
    found.failure ??
    problemOf(wanted, neighbours, kept, false) ??
    problemOf(wanted, neighbours, startup, true);
  if (missing.length + surplus.length === 0 && !isReplaced && problem === null) return null;
  return {
    as: wanted.as,
    isNew: kept === null,
    removes: isReplaced ? instance.as : null,
    surplus,
    missing,
    problem,
  };
}

/** Returns the change that removes what is virlan's; null where there is nothing. */
export function removeBgp({ instance, added, isRecorded, failure }: FoundBgp): BgpChange | null {
  const surplus = instance?.lines.filter(line => isOwn(line, added)) ?? [];
  if (surplus.length === 0 && !isRecorded) return null;
  // Where bgpd does not run, nothing is configured.
  const problem = failure?.kind === 'unreadable' ? failure : null;
  const as = instance?.as ?? 0;
  const isRemoved = instance !== null && isWholly(instance, added);
  return { as, isNew: false, removes: isRemoved ? as : null, surplus, missing: [], problem };
}

/** Returns the speaker that virlan's lines make of the host; null if they do not. */
export function speakerOf(instance: BgpInstance | null): Speaker | null {
  if (instance === null) return null;
  const neighbours = instance.lines.map(memberOf).filter(each => each !== null);
  const address = parseIpv4(optionOf(instance, groupName, 'update-source') ?? '');
  return address === null ? null : { as: instance.as, address, neighbours };
}

/** Returns the lines that do not contain virlan's name: a record must tell them from the administrator's. */
export function sharedLines(lines: readonly BgpLine[]): BgpLine[] {
  return lines.filter(line => !isNamed(line));
}

/** Returns the commands of a change, for vtysh. */
export function bgpCommands({ as, removes, surplus, missing }: BgpChange): string[] {
  const removed = removes === null ? [] : [`no router bgp ${removes}`];
  const removals = removes === null ? removalsOf(surplus) : [];
  if (removals.length + missing.length === 0) return removed.length === 0 ? [] : [configure, ...removed];
  const commands = [configure, ...removed, `router bgp ${as}`];
  let family: string | null = null;
  for (const line of [...removals, ...missing]) {
    if (line.family !== family && family !== null) commands.push('exit-address-family');
    if (line.family !== family && line.family !== null) commands.push(`address-family ${line.family}`);
    family = line.family;
    commands.push(line.command);
  }
  return commands;
}

const configure = 'configure terminal';

/** Removes a peer group before its options and members: bgpd removes those together with it. */
function removalsOf(surplus: readonly BgpLine[]): BgpLine[] {
  const isWithGroup = surplus.some(({ command }) => command === group);
  return surplus
    .filter(line => !isWithGroup || line.command === group || !isNamed(line))
    .map(({ family, command }) => ({ family, command: negated(command) }));
}

/** Returns the command that undoes a command. */
function negated(command: string): string {
  return command.startsWith('no ') ? command.slice(3) : `no ${command}`;
}

const group = `neighbor ${groupName} peer-group`;

/**
 * Returns the lines that virlan needs. Members come last, so that no session begins before the group has its options.
 */
function wantedLines({ as, address, neighbours }: Speaker, kept: BgpInstance | null): BgpLine[] {
  const of = (family: string | null) => (command: string) => ({ family, command });
  const own = [
    `remote-as ${as}`,
    `update-source ${formatIp(address)}`,
    `timers ${timers.keepalive} ${timers.hold}`,
    `timers connect ${timers.connect}`,
  ].map(option => `neighbor ${groupName} ${option}`);
  return [
    // By itself, FRR takes the highest address of the host: that of a gateway, which is the same on all hosts.
    ...[`${routerId}${formatIp(address)}`, group, ...own].map(of(null)),
    ...otherFamilies(kept).map(family => of(family)(negated(activated))),
    ...[activated, 'advertise-all-vni'].map(of(evpn)),
    ...neighbours.map(each => `neighbor ${formatIp(each)} peer-group ${groupName}`).map(of(null)),
  ];
}

const routerId = 'bgp router-id ';
const activated = `neighbor ${groupName} activate`;

/** Returns the families besides EVPN that virlan's neighbours would carry. */
function otherFamilies(instance: BgpInstance | null): string[] {
  const activeIn = (instance?.lines ?? []).flatMap(({ family, command }) =>
    family !== null && command === activated ? [family] : [],
  );
  return [...new Set([...defaultFamilies(instance), ...activeIn])].filter(family => family !== evpn);
}

function isMet(wanted: BgpLine, instance: BgpInstance | null, added: AddedBgp): boolean {
  if (instance === null) return false;
  const { family, command } = wanted;
  if (family !== null && command === activated) return carries(instance, groupName, family);
  if (family !== null && command === negated(activated)) return !carries(instance, groupName, family);
  if (instance.lines.some(each => isSame(each, wanted))) return true;
  // The administrator's identifier is kept.
  return (
    command.startsWith(routerId) &&
    instance.lines.some(
      each => each.command.startsWith(routerId) && !added.lines.some(own => isSame(own, each)),
    )
  );
}

function problemOf(
  { as: wanted }: Speaker,
  neighbours: readonly Ipv4[],
  instance: BgpInstance | null,
  isSaved: boolean,
): BgpProblem | null {
  if (instance === null) return null;
  if (instance.as !== wanted) return { kind: 'other-as', as: instance.as, wanted, isSaved };
  const neighbour = neighbours.find(
    each =>
      groupOf(instance, formatIp(each)) !== groupName &&
      isNeighbour(instance, each) &&
      !carriesEvpn(instance, each),
  );
  return neighbour === undefined ? null : { kind: 'own-neighbour', neighbour, as: wanted };
}

/** Returns whether the administrator has a neighbour of this address that carries EVPN already. */
function carriesEvpn(instance: BgpInstance | null, address: Ipv4): boolean {
  if (instance === null || !isNeighbour(instance, address)) return false;
  const name = formatIp(address);
  return groupOf(instance, name) !== groupName && carries(instance, name, evpn);
}

const memberLine = new RegExp(`^neighbor (\\S+) peer-group ${groupName}$`);

/** Returns the neighbour that a line makes a member of virlan's group; null for another line. */
function memberOf({ family, command }: BgpLine): Ipv4 | null {
  const [, address = ''] = memberLine.exec(command) ?? [];
  return family === null ? parseIpv4(address) : null;
}

/** Returns whether a line is about virlan's peer group or one of its members. */
function isNamed(line: BgpLine): boolean {
  return ` ${line.command} `.includes(` neighbor ${groupName} `) || memberOf(line) !== null;
}

function isOwn(line: BgpLine, { lines }: AddedBgp): boolean {
  return isNamed(line) || lines.some(each => isSame(each, line));
}

/** Returns whether an instance is virlan's, and nobody has added anything to it. */
function isWholly({ lines }: BgpInstance, added: AddedBgp): boolean {
  return added.instance && lines.every(line => isOwn(line, added));
}
