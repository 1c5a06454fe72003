// Decides the changes of libvirt's networks, from the configuration and the networks that exist. Pure.
import type { Config, NetworkConfig } from '../config/config.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import { isPassThrough, type LibvirtNetwork } from '../libvirt/network-xml.ts';
import { digest } from '../names/digest.ts';
import { findOwnersChange, type OwnersChange, shippedBridge } from './shipped-network.ts';

/** A network that libvirt has. */
export interface KnownNetwork extends LibvirtNetwork {
  readonly xml: string;
  readonly active: boolean;
  readonly autostart: boolean;
  readonly persistent: boolean;
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
  /** virlan's networks that were taken down: libvirt's are left as they are until these are wanted again. */
  readonly takenDown: ReadonlySet<string>;
  /** Networks that were stopped a moment ago: `net-destroy` is often followed by `net-start`. */
  readonly resting: ReadonlySet<string>;
  readonly defined: readonly Domain[];
  readonly running: readonly Domain[];
  /** The NICs that are plugged into the bridge of `default`, if libvirt made that bridge. */
  readonly defaultPorts: readonly string[];
}

/**
 * Decides how to bring libvirt's networks in line with the configuration. Each network of virlan's becomes a
 * pass-through network of the same name. `default` is removed, or becomes a pass-through network too where a
 * defined machine refers to it (docs/default-network.md).
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
  const successor = findSuccessor(config);
  const decisions =
    successor !== null && isUp(successor) ? [...own, decideDefault(successor, known, facts)] : own;
  return {
    actions: decisions.flatMap(decision => decision.actions),
    problems: decisions.flatMap(decision => decision.problems),
  };
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
  return successor.defaultNetwork !== 'auto' || isVirlans({ xml }) ? null : findOwnersChange(xml);
}

function usesDefault(domain: Domain): boolean {
  return domain.nics.some(nic => nic.network === defaultName);
}

function isOnBridge(domain: Domain, bridge: string | null): boolean {
  return bridge !== null && domain.nics.some(nic => nic.bridge === bridge);
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
  const saving = isOurs ? [] : [saveAction(found)];
  return { actions: [...saving, ...removalChanges(found), ...replacement], problems: [] };
}

/** Decides how to restore libvirt's networks: virlan's are removed, and `default` becomes as it was saved. */
export function decideRestoration(
  known: readonly KnownNetwork[],
  saved: SavedNetwork | null,
): readonly NetworkChange[] {
  const removals = known.filter(isVirlans).flatMap(removalChanges);
  if (saved === null) return removals;
  const found = known.find(network => network.name === defaultName && !isVirlans(network)) ?? null;
  const name = defaultName;
  return [
    ...removals,
    ...(found?.persistent === true ? [] : [{ kind: 'define', name, xml: saved.xml } as const]),
    ...(saved.autostart && found?.autostart !== true ? [{ kind: 'autostart', name } as const] : []),
    ...(saved.active && found?.active !== true ? [{ kind: 'start', name } as const] : []),
  ];
}

function isVirlans({ xml }: Pick<KnownNetwork, 'xml'>): boolean {
  return xml.includes(`'${virlanNamespace}'`) || xml.includes(`"${virlanNamespace}"`);
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
  { machineId, resting }: NetworkFacts,
): NetworkDecision {
  const found = known.find(network => network.name === name) ?? null;
  // A warning of the network names it: network/survey-other-programs.ts.
  if (found !== null && !isPassThrough(found, bridge)) return { actions: [], problems: [] };
  const actions: NetworkAction[] = [];
  if (found === null || !found.persistent) {
    // libvirt refuses a definition whose UUID is not that of the active network.
    const uuid = found === null ? networkUuid(machineId, name) : uuidOf(found);
    actions.push({ kind: 'define', name, xml: passThroughXml(name, uuid, bridge) });
  }
  const isResting = found?.persistent === true && resting.has(name);
  if (!found?.active && !isResting) actions.push({ kind: 'start', name });
  if (!found?.autostart) actions.push({ kind: 'autostart', name });
  return { actions, problems: [] };
}

/**
 * Returns the UUID of a network of virlan's: the same whenever it is defined again, because tools such as
 * Terraform and Vagrant remember it. Version 8 of RFC 9562, made from a hash.
 */
export function networkUuid(machineId: string, name: string): string {
  const bytes = digest(`virlan network\0${machineId}\0${name}`).subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function uuidOf({ xml }: KnownNetwork): string | null {
  return /<uuid>([0-9a-f-]{36})<\/uuid>/.exec(xml)?.[1] ?? null;
}

/** The XML namespace of the metadata that marks a libvirt network as defined by virlan. */
const virlanNamespace = 'urn:virlan:network:1';

/** Name and bridge come from virlan.ini, whose schema allows no character that XML would have to escape. */
function passThroughXml(name: string, uuid: string | null, bridge: string): string {
  const metadata = `<metadata>\n    <virlan:network xmlns:virlan='${virlanNamespace}'/>\n  </metadata>`;
  const elements = [
    `<name>${name}</name>`,
    ...(uuid === null ? [] : [`<uuid>${uuid}</uuid>`]),
    metadata,
    `<forward mode='bridge'/>`,
    `<bridge name='${bridge}'/>`,
  ];
  return `<network>\n${elements.map(element => `  ${element}\n`).join('')}</network>\n`;
}
