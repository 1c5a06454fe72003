import type { Config, NetworkConfig } from '../config/config.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import type { LibvirtNetwork } from '../libvirt/network-xml.ts';

/** A libvirt network as libvirt tells of it. */
export interface KnownNetwork extends LibvirtNetwork {
  readonly xml: string;
  readonly active: boolean;
  readonly autostart: boolean;
  readonly persistent: boolean;
}

/** libvirt's default network as it was before virlan took it away: for uninstall, which puts it back. */
export type KeptNetwork = Pick<KnownNetwork, 'xml' | 'active' | 'autostart'>;

/** One call of libvirt's network API. */
export type NetworkChange =
  | { readonly do: 'destroy' | 'undefine' | 'start' | 'autostart'; readonly name: string }
  | { readonly do: 'define'; readonly name: string; readonly xml: string };

export type NetworkAction = NetworkChange | { readonly do: 'keep'; readonly network: KnownNetwork };

export interface NetworkDecision {
  readonly actions: readonly NetworkAction[];
  /** What could not be decided for the user, each as a line. */
  readonly problems: readonly string[];
}

/** libvirt's own network, which packages define and which every new machine is on unless told otherwise. */
export const defaultName = 'default';

/**
 * What becomes of libvirt's networks (section 6 of the reference): each virlan network is a pass-through network of its
 * name, and `default` goes, or becomes a pass-through too where a defined machine still refers to it. A network with a
 * running machine on it is left alone: the machine would lose its link.
 */
export function decideNetworks(
  config: Config,
  known: readonly KnownNetwork[],
  defined: readonly Domain[],
  running: readonly Domain[],
): NetworkDecision {
  const own = config.networks.map(network => passThrough(network.name, network.bridge, known));
  const successor = findSuccessor(config);
  const decisions =
    successor === undefined ? own : [...own, decideDefault(successor, known, defined, running)];
  return {
    actions: decisions.flatMap(decision => decision.actions),
    problems: decisions.flatMap(decision => decision.problems),
  };
}

/** What becomes of the machines that refer to libvirt's default network, as a line; null where there are none. */
export function describeDefaultUsers(config: Config, defined: readonly Domain[]): string | null {
  const users = defined.filter(usesDefault).map(domain => JSON.stringify(domain.name));
  if (users.length === 0) return null;
  const names = users.join(', ');
  const successor = findSuccessor(config);
  if (successor === undefined) return `machines on libvirt's network default stay there: ${names}`;
  return successor.defaultNetwork === 'remove'
    ? `machines on libvirt's network default start no more until "virsh edit" gives them ${successor.name}: ${names}`
    : `machines on libvirt's network default start on ${successor.name} from now on: ${names}`;
}

/** The network that takes the place of libvirt's own. */
function findSuccessor(config: Config): NetworkConfig | undefined {
  return config.networks.find(network => network.defaultNetwork !== 'keep');
}

function usesDefault(domain: Domain): boolean {
  return domain.nics.some(nic => nic.network === defaultName);
}

function decideDefault(
  successor: NetworkConfig,
  known: readonly KnownNetwork[],
  defined: readonly Domain[],
  running: readonly Domain[],
): NetworkDecision {
  const found = known.find(network => network.name === defaultName);
  const isOurs = found !== undefined && isPassThrough(found, successor.bridge);
  const isReplaced =
    successor.defaultNetwork === 'replace' ||
    (successor.defaultNetwork === 'auto' && (isOurs || defined.some(usesDefault)));
  if (isOurs && isReplaced) return passThrough(defaultName, successor.bridge, known);

  const users =
    found?.active === true ? running.filter(usesDefault).map(domain => JSON.stringify(domain.name)) : [];
  if (users.length > 0) {
    const problem = `libvirt's network default stays while machines run on it: ${users.join(', ')}: shut them down, then "virlan up"`;
    return { actions: [], problems: [problem] };
  }
  const keep: NetworkAction[] = found === undefined || isOurs ? [] : [{ do: 'keep', network: found }];
  const removal = found === undefined ? [] : removeNetwork(found);
  const replacement = isReplaced ? passThrough(defaultName, successor.bridge, []).actions : [];
  return { actions: [...keep, ...removal, ...replacement], problems: [] };
}

/** What puts libvirt's networks back: those that virlan defined go, and `default` is again as it was kept. */
export function decideRestoration(
  known: readonly KnownNetwork[],
  kept: KeptNetwork | null,
): readonly NetworkChange[] {
  const removals = known.filter(isVirlans).flatMap(removeNetwork);
  if (kept === null) return removals;
  const found = known.find(network => network.name === defaultName && !isVirlans(network));
  const name = defaultName;
  return [
    ...removals,
    ...(found?.persistent === true ? [] : [{ do: 'define', name, xml: kept.xml } as const]),
    ...(kept.autostart && found?.autostart !== true ? [{ do: 'autostart', name } as const] : []),
    ...(kept.active && found?.active !== true ? [{ do: 'start', name } as const] : []),
  ];
}

function isVirlans({ xml }: KnownNetwork): boolean {
  return xml.includes(`'${mark}'`) || xml.includes(`"${mark}"`);
}

function removeNetwork({ name, active, persistent }: KnownNetwork): NetworkChange[] {
  return [
    ...(active ? [{ do: 'destroy', name } as const] : []),
    ...(persistent ? [{ do: 'undefine', name } as const] : []),
  ];
}

function passThrough(name: string, bridge: string, known: readonly KnownNetwork[]): NetworkDecision {
  const found = known.find(network => network.name === name);
  if (found !== undefined && !isPassThrough(found, bridge)) {
    const problem = `libvirt has a network ${name} of its own: virlan leaves it alone; rename one of them`;
    return { actions: [], problems: [problem] };
  }
  const actions: NetworkAction[] = [];
  if (found === undefined || !found.persistent)
    actions.push({ do: 'define', name, xml: passThroughXml(name, bridge) });
  if (!found?.active) actions.push({ do: 'start', name });
  if (!found?.autostart) actions.push({ do: 'autostart', name });
  return { actions, problems: [] };
}

export function isPassThrough(network: LibvirtNetwork, bridge: string): boolean {
  return network.forward === 'bridge' && network.bridge === bridge;
}

/** The namespace of what marks a libvirt network as defined by virlan. */
const mark = 'urn:virlan:network:1';

/** Name and bridge come from virlan.ini, whose schema allows nothing that XML would have to escape. */
function passThroughXml(name: string, bridge: string): string {
  const metadata = `<metadata>\n    <virlan:network xmlns:virlan='${mark}'/>\n  </metadata>`;
  return `<network>\n  <name>${name}</name>\n  ${metadata}\n  <forward mode='bridge'/>\n  <bridge name='${bridge}'/>\n</network>\n`;
}
