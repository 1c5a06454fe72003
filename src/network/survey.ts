// Surveys: reads the host, and compares it with what is desired of a network. Changes nothing.
import { release } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import type { Family } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import type { DnsmasqHost } from '../dnsmasq/conf.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { findDnsmasq, isStopped } from '../dnsmasq/process.ts';
import { CommandError, VirlanError } from '../errors.ts';
import type { BackendName } from '../firewall/backend.ts';
import {
  availableBackends,
  type BackendChoice,
  backends,
  chooseBackend,
  type UsableFamilies,
  usableFamilies,
} from '../firewall/backends.ts';
import { createRulesReader, type RulesReader } from '../firewall/rules-reader.ts';
import { makeRuleset } from '../firewall/ruleset.ts';
import { wantedReservations } from '../identity/decision.ts';
import { nicsOn } from '../identity/machine.ts';
import { readHostsfile, readLedger } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { digest } from '../names/digest.ts';
import { noOtherRules, type OtherFirewallsReading, type RulesByFirewall } from '../other-firewalls/model.ts';
import { readOtherFirewalls } from '../other-firewalls/observe.ts';
import { foundRules, wantedRules } from '../other-firewalls/registry.ts';
import { findUnknownChains } from '../other-firewalls/unknown-chains.ts';
import { modeOrNull, readOwnFileOrNull } from '../system/files.ts';
import { machineId } from '../system/machine-id.ts';
import { paths } from '../system/paths.ts';
import { type System, system } from '../system/system.ts';
import { readApplied } from './applied-record.ts';
import { type Conflict, findConflicts } from './conflicts.ts';
import { desiredHost, desiredNetwork, dummyName, type HostFacts } from './desired.ts';
import { isKernelReplaced } from './kernel.ts';
import {
  hasGlobalIpv6,
  knownSubnets,
  type LinksAndRoutes,
  leadsToLan,
  parseLinksAndRoutes,
} from './links.ts';
import { type HostReading, observeNetwork, type RulesListing } from './observe.ts';
import { bootId, recordedNetwork } from './original-state.ts';
import { planHost, planNetwork, planOtherFirewalls } from './plan.ts';
import { findDetour } from './return-path.ts';
import type { DesiredNetwork, HostState, ObservedNetwork } from './state.ts';
import type { Step } from './steps.ts';
import { forwardingConsequences, readSysctls, sysctlPath } from './sysctl.ts';
import type { NetworkWarning } from './warnings.ts';

/** virlan's own part of a network as it is desired, as it is, and the steps in between. */
export interface OwnSurvey {
  readonly network: NetworkConfig;
  readonly desired: DesiredNetwork;
  /** The firewall backend, and why it was chosen. */
  readonly backend: BackendChoice;
  readonly observed: ObservedNetwork;
  readonly steps: readonly Step[];
  /**
   * The conflict because of which the network must not be established; null for none, or if the network
   * exists already.
   */
  readonly refusal: Conflict | null;
  readonly warnings: readonly NetworkWarning[];
  /**
   * The error because of which the reservations are unknown: the ledger or the hostsfile is damaged. Null for
   * none.
   */
  readonly damage: Error | null;
}

/** virlan's part in the firewalls of other programs. */
export interface OtherFirewallsSurvey {
  readonly reading: OtherFirewallsReading;
  /** virlan's rules that are there. */
  readonly found: RulesByFirewall;
  readonly steps: readonly Step[];
  readonly warnings: readonly NetworkWarning[];
}

/** Both parts; `steps` and `warnings` are those of both. */
export interface Survey extends OwnSurvey {
  readonly otherFirewalls: OtherFirewallsSurvey;
}

export interface HostSurvey {
  readonly observed: HostState;
  readonly steps: readonly Step[];
}

/**
 * Compares a network with its configuration. Throws when the host cannot be read, or has no usable firewall
 * backend.
 */
export async function surveyNetwork(network: NetworkConfig): Promise<Survey> {
  const reader = createRulesReader(system);
  const [own, otherFirewalls] = await Promise.all([
    surveyWith(network, reader),
    surveyOthersWith(network, reader),
  ]);
  return {
    ...own,
    otherFirewalls,
    steps: [...own.steps, ...otherFirewalls.steps],
    warnings: [...own.warnings, ...otherFirewalls.warnings],
  };
}

/** Compares virlan's own part of a network with its configuration. Throws as `surveyNetwork`. */
export function surveyOwn(network: NetworkConfig): Promise<OwnSurvey> {
  return surveyWith(network, createRulesReader(system));
}

/** Compares virlan's rules in other firewalls with the configuration. Throws as `surveyNetwork`. */
export function surveyOtherFirewalls(network: NetworkConfig): Promise<OtherFirewallsSurvey> {
  return surveyOthersWith(network, createRulesReader(system));
}

/** Plans the removal of virlan's rules from other firewalls. */
export async function surveyOtherRemovals(
  bridge: string,
): Promise<Pick<OtherFirewallsSurvey, 'steps' | 'warnings'>> {
  const reading = await readOtherFirewalls(system, bridge, createRulesReader(system));
  return {
    steps: planOtherFirewalls(bridge, noOtherRules, foundRules(bridge, reading)),
    warnings: unreadWarnings(reading),
  };
}

async function surveyWith(network: NetworkConfig, reader: RulesReader): Promise<OwnSurvey> {
  const { bridge } = network;
  const available = availableBackends(system.isInstalled);
  const families = readFamilies();
  // Rules that virlan has not loaded since the host booted are loaded in any case: no need to list them.
  const listed = readApplied(bridge).rules.length > 0 ? available : [];
  const [kernel, files] = await Promise.all([
    readKernel(bridge, listed, families, reader),
    // Once the programs run, so that they and this process work at the same time.
    setImmediate().then(() => readFiles(network, available, families)),
  ]);
  const { desired, backend, reservations } = files;
  const observed = observeNetwork(desired, { ...kernel, ...files.observed });
  const conflicts = findConflicts(network, knownSubnets(kernel));
  const isEstablished = observed.link !== null || recordedNetwork(bridge)?.boot === bootId();
  const isRouted = observed.link?.up === true && observed.unrouted.length === 0;
  const detour = isRouted ? await findDetour(system, network, kernel.routingRules) : null;
  return {
    network,
    desired,
    backend,
    observed,
    steps: planNetwork(desired, observed),
    refusal: isEstablished ? null : (conflicts[0] ?? null),
    warnings: [
      ...kernelWarnings(),
      ...lanPortWarnings(bridge, kernel),
      ...conflicts.map(conflict => ({ kind: 'conflict', conflict }) as const),
      ...(detour === null ? [] : [{ kind: 'detour', detour } as const]),
      ...ipv6Warnings(bridge, families[backend.chosen]),
    ],
    damage: reservations.kind === 'known' ? null : reservations.error,
  };
}

async function surveyOthersWith(network: NetworkConfig, reader: RulesReader): Promise<OtherFirewallsSurvey> {
  const { bridge } = network;
  const { chosen } = chooseBackend(network, availableBackends(system.isInstalled));
  const reading = await readOtherFirewalls(system, bridge, reader);
  const found = foundRules(bridge, reading);
  const unknown = await findUnknownChains(system, bridge, chosen, reading);
  return {
    reading,
    found,
    steps: planOtherFirewalls(bridge, wantedRules(makeRuleset(network), chosen, reading), found),
    warnings: [
      ...unknown.map(each => ({ kind: 'unknown-chain', bridge, found: each }) as const),
      ...unreadWarnings(reading),
    ],
  };
}

function unreadWarnings({ unread }: OtherFirewallsReading): NetworkWarning[] {
  return unread.map(each => ({ kind: 'unread', unread: each }));
}

/**
 * Compares virlan's own part of a network with a state of the caller's choice. The rules of the backends
 * `listed` are compared, by default those of all that are on the host.
 */
export async function surveyAgainst(
  desired: DesiredNetwork,
  listed = availableBackends(system.isInstalled),
): Promise<{ observed: ObservedNetwork; steps: Step[] }> {
  const kernel = await readKernel(desired.bridge, listed, readFamilies(), createRulesReader(system));
  const observed = observeNetwork(desired, { ...kernel, ...readObjects(desired) });
  return { observed, steps: planNetwork(desired, observed) };
}

/**
 * Compares the host as a whole with what it needs while a network is up, or with a state of the caller's
 * choice.
 */
export function surveyHost(desired: HostState = desiredHost()): HostSurvey {
  const observed: HostState = {
    sysctls: readSysctls(desired.sysctls.keys(), system.readFile),
    sysctlFile: system.readFile(paths.sysctl),
  };
  return { observed, steps: planHost(desired, observed, paths.sysctl) };
}

/**
 * Returns the settings of the host, before steps of its survey are taken, with those that the kernel changes
 * as a consequence.
 */
export function withConsequences({ observed, steps }: HostSurvey): HostState {
  if (!steps.some(({ kind }) => kind === 'set sysctl')) return observed;
  const keys = forwardingConsequences(system.listDirectory(linkSysctls));
  return { ...observed, sysctls: new Map([...observed.sysctls, ...readSysctls(keys, system.readFile)]) };
}

/**
 * Returns the two plans that restore settings of the host, the second to be made after the first is carried
 * out: one restores what virlan wrote, one what the kernel changed as a consequence. Links that no longer
 * exist have no settings.
 */
export function surveyRestoration(goal: HostState): (() => readonly Step[])[] {
  const written = desiredHost().sysctls;
  return [(key: string) => written.has(key), (key: string) => system.exists(sysctlPath(key))].map(
    isRestored => () => {
      const sysctls = new Map([...goal.sysctls].filter(([key]) => isRestored(key)));
      return surveyHost({ ...goal, sysctls }).steps;
    },
  );
}

/** Has a directory for each link, `all` and `default`. */
const linkSysctls = '/proc/sys/net/ipv4/conf';

type KernelReading = LinksAndRoutes & Pick<HostReading, 'rules'>;

type FilesReading = Omit<HostReading, keyof KernelReading>;

/** Runs the programs that list the kernel's state, all at once. */
async function readKernel(
  bridge: string,
  listed: readonly BackendName[],
  families: UsableFamilies,
  reader: RulesReader,
): Promise<KernelReading> {
  const [linksAndRoutes, rules] = await Promise.all([
    readLinksAndRoutes(system),
    listRules(reader, bridge, listed, families),
  ]);
  return { ...linksAndRoutes, rules };
}

async function readLinksAndRoutes({ run }: Pick<System, 'run'>): Promise<LinksAndRoutes> {
  const show = (...objects: string[]) =>
    run('ip', ['-json', '-details', '-batch', '-'], { input: objects.map(object => `${object}\n`).join('') });
  const linksAndRoutes = ['address show', 'route show table all'];
  try {
    return parseLinksAndRoutes(await show(...linksAndRoutes, 'rule show'));
  } catch (error) {
    if (!(error instanceof CommandError) || error.reason === 'timeout') throw error;
    // A kernel without rules (CONFIG_IP_MULTIPLE_TABLES).
    return parseLinksAndRoutes(await show(...linksAndRoutes));
  }
}

async function listRules(
  reader: RulesReader,
  bridge: string,
  listed: readonly BackendName[],
  families: UsableFamilies,
): Promise<RulesListing[]> {
  const places = listed.flatMap(backend => families[backend].map(family => ({ backend, family })));
  return Promise.all(
    places.map(async ({ backend, family }) => ({
      backend,
      family,
      lines: await backends[backend].list(reader, { bridge, family }),
    })),
  );
}

/** Reads what is desired, and from files what exists of it. */
function readFiles(network: NetworkConfig, available: readonly BackendName[], families: UsableFamilies) {
  const reservations = readReservations(network);
  const facts = gatherFacts(network, {
    backends: available,
    families,
    reservations: reservations.kind === 'known' ? reservations.lines : null,
  });
  const { network: desired, backend } = desiredNetwork(network, facts);
  return { desired, backend, reservations, observed: readObjects(desired) };
}

/** Reads from files what exists of the desired objects. */
function readObjects(desired: DesiredNetwork): FilesReading {
  const { bridge } = desired;
  const pid = findDnsmasq(bridge);
  return {
    applied: readApplied(bridge),
    sysctls: readSysctls(desired.sysctls.keys(), system.readFile),
    dnsmasq: {
      conf: readConf(bridge),
      pid,
      isStopped: pid !== null && isStopped(pid),
    },
    modes: readModes(desired.modes.keys()),
    reservations: desired.reservations.kind === 'leave' ? [] : readHostsfile(bridge).ours,
  };
}

/**
 * Returns the text of dnsmasq's configuration; null for none, and for what is no regular file: it is replaced.
 */
function readConf(bridge: string): string | null {
  try {
    return readOwnFileOrNull(dnsmasqPaths(bridge).conf);
  } catch (error) {
    if (error instanceof VirlanError && error.code === 'damaged-file') return null;
    throw error;
  }
}

function readModes(files: Iterable<string>): Map<string, number> {
  return new Map(
    [...files].flatMap(path => {
      const mode = modeOrNull(path);
      return mode === null ? [] : [[path, mode] as const];
    }),
  );
}

function gatherFacts(
  { name, bridge }: NetworkConfig,
  known: Pick<HostFacts, 'backends' | 'families' | 'reservations'>,
): HostFacts {
  const running = runningDomains();
  // At boot no machine runs, and reading the XML of libvirt's networks takes 5 ms.
  const passThrough = running.length === 0 ? new Set<string>() : passThroughNetworks(name, bridge);
  const onNetwork = running.flatMap(domain => nicsOn(bridge, passThrough, domain));
  return {
    machineId: machineId(),
    ...known,
    hasDummy: system.exists(`/sys/class/net/${dummyName(bridge)}`) || canMakeDummy(),
    keepsIpv6Off: kernelHasIpv6() && !hasGlobalIpv6(bridge, readIpv6Addresses()),
    taps: onNetwork.flatMap(({ tap, isUp, mtu, isolated }) =>
      tap === null ? [] : [{ name: tap, up: isUp, mtu, isolated }],
    ),
    user: dnsmasqUser(),
    extras: readExtras(name),
  };
}

function readReservations(
  network: NetworkConfig,
):
  | { readonly kind: 'known'; readonly lines: string[] }
  | { readonly kind: 'damaged'; readonly error: Error } {
  try {
    const hostsfile = readHostsfile(network.bridge);
    return { kind: 'known', lines: wantedReservations(network, readLedger(), hostsfile) };
  } catch (error) {
    return { kind: 'damaged', error: error as Error };
  }
}

function readFamilies(): UsableFamilies {
  return usableFamilies(kernelHasIpv6() ? ['ipv4', 'ipv6'] : ['ipv4'], system.isInstalled);
}

function kernelHasIpv6(): boolean {
  return system.exists('/proc/sys/net/ipv6');
}

/** Warns where IPv6 exists on the bridge against virlan's will, or could exist there unfiltered. */
function ipv6Warnings(bridge: string, families: readonly Family[]): NetworkWarning[] {
  if (!kernelHasIpv6()) return [];
  return [
    ...(families.includes('ipv6') ? [] : [{ kind: 'ipv6-unfiltered', bridge } as const]),
    ...(hasGlobalIpv6(bridge, readIpv6Addresses()) ? [{ kind: 'ipv6-address', bridge } as const] : []),
  ];
}

function readIpv6Addresses(): string {
  return system.readFile('/proc/net/if_inet6') ?? '';
}

/** Returns whether the kernel has links of type dummy, or a module for them. */
function canMakeDummy(): boolean {
  const modules = `/lib/modules/${release()}`;
  const lists = ['modules.dep', 'modules.builtin'].map(list => system.readFile(`${modules}/${list}`) ?? '');
  return system.exists('/sys/module/dummy') || lists.some(list => list.includes('/net/dummy.ko'));
}

/** Returns the release of the running kernel if its modules are gone; otherwise null. */
export function replacedKernel(): string | null {
  return isKernelReplaced(release(), system.listDirectory('/lib/modules')) ? release() : null;
}

function lanPortWarnings(bridge: string, { links }: LinksAndRoutes): NetworkWarning[] {
  return links
    .filter(link => link.master === bridge && leadsToLan(link))
    .map(({ name }) => ({ kind: 'lan-port', bridge, link: name }));
}

function kernelWarnings(): NetworkWarning[] {
  const kernel = replacedKernel();
  return kernel === null ? [] : [{ kind: 'kernel-replaced', release: kernel }];
}

function dnsmasqUser(): string {
  const users = system.readFile('/etc/passwd')?.split('\n') ?? [];
  return users.some(line => line.startsWith('dnsmasq:')) ? 'dnsmasq' : 'nobody';
}

function readExtras(network: string): DnsmasqHost['extras'] {
  const directory = `${paths.dnsmasqExtras}/${network}`;
  const names = system.listDirectory(directory).filter(name => name.endsWith('.conf'));
  if (names.length === 0) return null;
  const content = names.map(name => `${name}\n${system.readFile(`${directory}/${name}`) ?? ''}`).join('\n');
  return { directory, digest: digest(content).toString('hex').slice(0, 16) };
}
