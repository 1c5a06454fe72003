// Decides the changes of libvirt's networks, from the configuration and the networks that exist. Pure.
import type { Config, NetworkConfig } from '../config/config.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import { isPassThrough, type LibvirtNetwork } from '../libvirt/network-xml.ts';
import { isMarked, isOfHost, isOwn, networkUuid, passThroughXml, uuidOf } from './own-network.ts';
import { findOwnersChange, type OwnersChange, shippedBridge } from './shipped-network.ts';

/** A network that libvirt has. */
export interface KnownNetwork extends LibvirtNetwork {
  readonly xml: string;
  readonly active: boolean;
  readonly autostart: boolean;
  readonly persistent: boolean;
  /** The number of NICs that are plugged into it. */
  readonly connections: number;
}

/** libvirt's network `default` as it was before virlan removed it. Uninstalling virlan restores it. */
export interface SavedNetwork {
  readonly xml: string;
  readonly active: boolean;
  readonly autostart: boolean;
}

/** One call of libvirt's network API. */
export type NetworkChange =
  | { readonly kind: 'destroy' | 'undefine' | 'start' | 'autostart'; readonly name: string }
  | { readonly kind: 'define'; readonly name: string; readonly xml: string };

/** A change, or the saving of a network that the next changes remove. */
export type NetworkAction =
  | NetworkChange
  | { readonly kind: 'save'; readonly name: string; readonly network: SavedNetwork };

/** The reason why a network was left as it is. Names of machines are hostile text. */
export type LibvirtNetworkProblem =
  /**
   * Running machines, and NICs of other programs (`ports`), are on `default`: without it they would lose
   * their link.
   */
  | { readonly kind: 'default-in-use'; readonly users: readonly string[]; readonly ports: readonly string[] }
  /** `default` is an administrator's own network, which only an explicit setting replaces. */
  | { readonly kind: 'default-changed'; readonly change: OwnersChange }
  /**
   * A network of virlan's own would be removed, because virlan.ini no longer has it (`to` is null), or lead to the
   * bridge `to`. Running machines name it, or have NICs in it, and so have `ports` NICs of others.
   */
  | {
      readonly kind: 'network-in-use';
      readonly name: string;
      readonly to: string | null;
      readonly users: readonly string[];
      readonly ports: number;
    }
  /** The network is defined again, but libvirt could not start it. */
  | { readonly kind: 'start-failed'; readonly name: string; readonly error: string };

export interface NetworkDecision {
  readonly actions: readonly NetworkAction[];
  readonly problems: readonly LibvirtNetworkProblem[];
}

/** A consequence of what happens to `default`. Names of machines are hostile text. */
export type DefaultFate =
  | { readonly kind: 'stay'; readonly users: readonly string[] }
  /** They start on this network of virlan's, or do not start until their definition refers to it. */
  | {
      readonly kind: 'move' | 'start-no-longer';
      readonly network: string;
      readonly users: readonly string[];
    }
  /** They name the bridge of `default` itself, and do not start without it. */
  | { readonly kind: 'bridge-gone'; readonly network: string; readonly users: readonly string[] }
  /** It is removed because no machine refers to it, but tools may. */
  | { readonly kind: 'removed' };

/**
 * libvirt's own network: packages define it, and a new machine is on it unless its creator says otherwise.
 */
export const defaultName = 'default';

/** Holds the facts of the host that a decision depends on. */
export interface NetworkFacts {
  /** The host's, from which the UUIDs of virlan's networks are made. */
  readonly machineId: string;
  /** The mark of the configuration file: `markOfFile`. */
  readonly file: string | null;
  /** virlan's networks that were taken down: libvirt's are left as they are until these are wanted again. */
  readonly takenDown: ReadonlySet<string>;
  /** Networks that were stopped a moment ago: `net-destroy` is often followed by `net-start`. */
  readonly resting: ReadonlySet<string>;
  readonly defined: readonly Domain[];
  readonly running: readonly Domain[];
  /**
   * The links in the bridge of `default` and on top of it, if libvirt made that bridge; those in other network
   * namespaces by their MACs.
   */
  readonly defaultPorts: readonly string[];
}

/**
 * Decides how to bring libvirt's networks in line with the configuration. Each network of virlan's becomes a
 * pass-through network of the same name, and those that the configuration no longer has are removed. `default` is
 * removed, or becomes a pass-through network too where a defined machine refers to it (docs/default-network.md).
 */
export function decideNetworks(
  config: Config,
  known: readonly KnownNetwork[],
  facts: NetworkFacts,
): NetworkDecision {
  const isUp = ({ name }: NetworkConfig) => !facts.takenDown.has(name);
  const own = config.networks
    .filter(isUp)
    .map(({ name, bridge }) => decidePassThrough(name, bridge, known, facts));
  const names = new Set(config.networks.map(({ name }) => name));
  const leftovers = known
    .filter(network => network.name !== defaultName && !names.has(network.name) && isOwn(network, facts))
    .map(network => decideRemoval(network, facts));
  const successor = findSuccessor(config);
  const ofDefault = successor !== null && isUp(successor) ? [decideDefault(successor, known, facts)] : [];
  return joinDecisions([...leftovers, ...own, ...ofDefault]);
}

/** Decides the removal of the networks of these names, whatever configuration they are from. */
export function decideRemovals(
  names: ReadonlySet<string>,
  known: readonly KnownNetwork[],
  facts: Pick<NetworkFacts, 'machineId' | 'running'>,
): NetworkDecision {
  const found = known.filter(network => names.has(network.name) && isOfHost(network, facts.machineId));
  return joinDecisions(found.map(network => decideRemoval(network, facts)));
}

function joinDecisions(decisions: readonly NetworkDecision[]): NetworkDecision {
  return {
    actions: decisions.flatMap(decision => decision.actions),
    problems: decisions.flatMap(decision => decision.problems),
  };
}

function decideRemoval(found: KnownNetwork, { running }: Pick<NetworkFacts, 'running'>): NetworkDecision {
  const problems = usesOf(found, null, running);
  return problems.length > 0 ? { actions: [], problems } : { actions: removalChanges(found), problems: [] };
}

/** Returns the problem that a network cannot be removed, or lead to another bridge, while it is in use. */
function usesOf(found: KnownNetwork, to: string | null, running: readonly Domain[]): LibvirtNetworkProblem[] {
  const { name, connections } = found;
  const nicsOn = ({ nics }: Domain) => nics.filter(({ network }) => network === name).length;
  const domains = running.filter(domain => nicsOn(domain) > 0);
  const plugged = domains.reduce((sum, domain) => sum + nicsOn(domain), 0);
  const ports = Math.max(0, connections - plugged);
  if (domains.length + ports === 0) return [];
  return [{ kind: 'network-in-use', name, to, users: namesOf(domains), ports }];
}

/**
 * Decides what follows for the defined machines and for tools. `xml`: the definition of `default`; null for
 * none.
 */
export function decideDefaultFates(
  config: Config,
  xml: string | null,
  defined: readonly Domain[],
): DefaultFate[] {
  const users = namesOf(defined.filter(usesDefault));
  const onBridge = namesOf(
    defined.filter(domain => isOnBridge(domain, shippedBridge) && !usesDefault(domain)),
  );
  const successor = findSuccessor(config);
  if (successor === null || (xml !== null && ownersChange(successor, xml) !== null))
    return ifUsed({ kind: 'stay', users: [...users, ...onBridge] });
  const network = successor.name;
  const kind = successor.defaultNetwork === 'remove' ? 'start-no-longer' : 'move';
  return [
    ...ifUsed({ kind, network, users }),
    ...ifUsed({ kind: 'bridge-gone', network, users: onBridge }),
    ...(successor.defaultNetwork === 'auto' && users.length === 0 ? [{ kind: 'removed' } as const] : []),
  ];
}

function ifUsed(fate: Extract<DefaultFate, { readonly users: unknown }>): DefaultFate[] {
  return fate.users.length === 0 ? [] : [fate];
}

/** Returns the network that takes the place of `default`: the first that is not configured to keep it. */
export function findSuccessor(config: Config): NetworkConfig | null {
  return config.networks.find(network => network.defaultNetwork !== 'keep') ?? null;
}

/**
 * Returns what makes `default` a network that `auto` leaves alone; null for nothing. virlan's own pass-through
 * to a bridge of an earlier configuration is none.
 */
export function ownersChange(successor: NetworkConfig, xml: string): OwnersChange | null {
  return successor.defaultNetwork !== 'auto' || isMarked({ xml }) ? null : findOwnersChange(xml);
}

function usesDefault(domain: Domain): boolean {
  return domain.nics.some(nic => nic.network === defaultName);
}

function isOnBridge(domain: Domain, bridge: string | null): boolean {
  return bridge !== null && domain.nics.some(nic => nic.bridge === bridge || nic.device === bridge);
}

/** Returns whether libvirt makes and removes the bridge of a network. */
export function hasOwnBridge({ forward }: LibvirtNetwork): boolean {
  return forward === null || ['nat', 'route', 'open'].includes(forward);
}

function namesOf(domains: readonly Domain[]): string[] {
  return domains.map(domain => domain.name);
}

function decideDefault(
  successor: NetworkConfig,
  known: readonly KnownNetwork[],
  facts: NetworkFacts,
): NetworkDecision {
  const { defined, running, defaultPorts } = facts;
  const found = known.find(network => network.name === defaultName) ?? null;
  const isOurs = found !== null && isPassThrough(found, successor.bridge);
  const isReplaced =
    successor.defaultNetwork === 'replace' ||
    (successor.defaultNetwork === 'auto' && (isOurs || defined.some(usesDefault)));
  if (isOurs && isReplaced) return decidePassThrough(defaultName, successor.bridge, known, facts);
  const change = found === null || isOurs ? null : ownersChange(successor, found.xml);
  if (change !== null) return { actions: [], problems: [{ kind: 'default-changed', change }] };

  if (found?.active === true) {
    const bridge = hasOwnBridge(found) ? found.bridge : null;
    const domains = running.filter(domain => usesDefault(domain) || isOnBridge(domain, bridge));
    const taps = new Set(domains.flatMap(({ nics }) => nics.map(({ tap }) => tap)));
    const users = namesOf(domains);
    const ports = defaultPorts.filter(port => !taps.has(port));
    if (users.length + ports.length > 0)
      return { actions: [], problems: [{ kind: 'default-in-use', users, ports }] };
  }
  const replacement = isReplaced ? decidePassThrough(defaultName, successor.bridge, [], facts).actions : [];
  if (found === null) return { actions: replacement, problems: [] };
  const saving = isMarked(found) ? [] : [saveAction(found)];
  return { actions: [...saving, ...removalChanges(found), ...replacement], problems: [] };
}

/** Decides how to restore libvirt's networks: virlan's are removed, and `default` becomes as it was saved. */
export function decideRestoration(
  known: readonly KnownNetwork[],
  saved: SavedNetwork | null,
): readonly NetworkChange[] {
  const removals = known.filter(isMarked).flatMap(removalChanges);
  if (saved === null) return removals;
  const found = known.find(network => network.name === defaultName && !isMarked(network)) ?? null;
  const name = defaultName;
  return [
    ...removals,
    ...(found?.persistent === true ? [] : [{ kind: 'define', name, xml: saved.xml } as const]),
    ...(saved.autostart && found?.autostart !== true ? [{ kind: 'autostart', name } as const] : []),
    ...(saved.active && found?.active !== true ? [{ kind: 'start', name } as const] : []),
  ];
}

function saveAction({ name, xml, active, autostart }: KnownNetwork): NetworkAction {
  return { kind: 'save', name, network: { xml, active, autostart } };
}

function removalChanges({ name, active, persistent }: KnownNetwork): NetworkChange[] {
  return [
    ...(active ? [{ kind: 'destroy', name } as const] : []),
    ...(persistent ? [{ kind: 'undefine', name } as const] : []),
  ];
}

function decidePassThrough(
  name: string,
  bridge: string,
  known: readonly KnownNetwork[],
  facts: NetworkFacts,
): NetworkDecision {
  const found = known.find(network => network.name === name) ?? null;
  const isLed = found === null || isPassThrough(found, bridge);
  // A warning of the network names it: network/survey-other-programs.ts.
  if (!isLed && !isOwn(found, facts)) return { actions: [], problems: [] };
  const problems = isLed ? [] : usesOf(found, bridge, facts.running);
  if (problems.length > 0) return { actions: [], problems };
  const actions: NetworkAction[] = [];
  // An active network leads where it did, whatever its definition.
  if (!isLed && found.active) actions.push({ kind: 'destroy', name });
  if (!isLed || !found?.persistent) {
    // libvirt refuses a definition whose UUID is not that of the active network.
    const uuid = found === null ? networkUuid(facts.machineId, name) : uuidOf(found);
    actions.push({ kind: 'define', name, xml: passThroughXml({ name, uuid, bridge, file: facts.file }) });
  }
  const isResting = found?.persistent === true && facts.resting.has(name);
  if (!(isLed && found?.active) && !isResting) actions.push({ kind: 'start', name });
  if (!found?.autostart) actions.push({ kind: 'autostart', name });
  return { actions, problems: [] };
}
