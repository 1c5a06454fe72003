import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import type { NetworkConfig } from '../config/config.ts';
import type { DnsmasqHost } from '../dnsmasq/conf.ts';
import { machineOn } from '../identity/machine.ts';
import { readHostsfile, readLedger, wantedReservations } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import type { ForeignFirewalls } from '../other-firewalls/model.ts';
import { lookIntoStrangers, readForeign } from '../other-firewalls/observe.ts';
import { listDirectory, readFileOrNull } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { isInstalled } from '../system/run.ts';
import { readApplied } from './applied-record.ts';
import { findConflicts } from './conflicts.ts';
import { chooseBackend, desiredHost, desiredNetwork, type HostFacts, nicName } from './desired.ts';
import { knownSubnets, type Link, machineId, readLinksAndRoutes, saveRulesOnce } from './links.ts';
import { observeHost, observeNetwork, observeRules } from './observe.ts';
import { bootId, readBefore } from './original-state.ts';
import { planHost, planNetwork, type Step } from './plan.ts';
import type { Backend, DesiredNetwork, HostState, ObservedNetwork } from './state.ts';

/** A network as it is wanted, as it is, and what lies between. */
export interface Survey {
  readonly network: NetworkConfig;
  readonly desired: DesiredNetwork;
  readonly observed: ObservedNetwork;
  readonly steps: readonly Step[];
  /** What of the host overlaps its subnet. */
  readonly conflicts: readonly string[];
  /** Why it must not be established, or null: a conflict that was there first. One that comes later cuts nothing. */
  readonly refusal: string | null;
  /** The other firewalls on the host. */
  readonly foreign: ForeignFirewalls;
  /** Which of them may drop what machines send, and where nothing is virlan's to do; and which could not be read. */
  readonly obstacles: readonly string[];
  /** Why the reservations are not known, or null: the ledger or the hostsfile is damaged. */
  readonly damage: string | null;
}

export interface HostSurvey {
  readonly observed: HostState;
  readonly steps: readonly Step[];
}

/** Reads the host and compares: changes nothing. Throws what keeps it from saying what would have to be done. */
export async function surveyNetwork(network: NetworkConfig): Promise<Survey> {
  const survey = await surveyWhatCanBeRead(network);
  if (survey.damage !== null) throw new Error(survey.damage);
  return survey;
}

/** As `surveyNetwork`, but for a hook, where a network without its reservations is better than none. */
export async function surveyWhatCanBeRead(network: NetworkConfig): Promise<Survey> {
  const { bridge } = network;
  const backends = availableBackends();
  // What virlan has not loaded since the host booted it loads whole, whatever is there, so that nobody need look.
  const isLoaded = Object.keys(readApplied(bridge).rules).length > 0;
  const save = saveRulesOnce();
  const [host, rules, foreign] = await Promise.all([
    readLinksAndRoutes(),
    observeRules(bridge, isLoaded ? backends : [], save),
    readForeign(bridge, save),
  ]);
  const hasDummy = existsSync(`/sys/class/net/${nicName(bridge)}`) || canMakeDummy();
  const { lines, damage } = readReservations(network);
  const desired = desiredNetwork(
    network,
    gatherFacts(network, host.links, { backends, hasDummy, reservations: lines, foreign }),
  );
  const observed = observeNetwork(desired, host, rules, foreign);
  const conflicts = findConflicts(network, knownSubnets(host));
  const isEstablished = observed.link !== null || readBefore()?.networks[bridge]?.boot === bootId();
  const refusal = isEstablished ? null : (conflicts[0] ?? null);
  const strangers = await lookIntoStrangers(bridge, chooseBackend(network, backends), foreign);
  const obstacles = [...strangers, ...foreign.unread];
  const steps = planNetwork(desired, observed);
  return { network, desired, observed, steps, conflicts, refusal, foreign, obstacles, damage };
}

/** What of a network is on the host, compared with a state of one's own choice. */
export async function surveyAgainst(
  desired: DesiredNetwork,
): Promise<{ observed: ObservedNetwork; steps: Step[]; unread: readonly string[] }> {
  const save = saveRulesOnce();
  const [host, rules, foreign] = await Promise.all([
    readLinksAndRoutes(),
    observeRules(desired.bridge, availableBackends(), save),
    readForeign(desired.bridge, save),
  ]);
  const observed = observeNetwork(desired, host, rules, foreign);
  return { observed, steps: planNetwork(desired, observed), unread: foreign.unread };
}

export function surveyHost(desired: HostState = desiredHost()): HostSurvey {
  const observed = observeHost(desired);
  return { observed, steps: planHost(desired, observed, paths.sysctl) };
}

function gatherFacts(
  { name, bridge }: NetworkConfig,
  links: readonly Link[],
  known: Pick<HostFacts, 'backends' | 'hasDummy' | 'reservations' | 'foreign'>,
): HostFacts {
  const passThrough = passThroughNetworks(name, bridge);
  const onNetwork = runningDomains().flatMap(domain => {
    const macs = machineOn(bridge, passThrough, domain).macs;
    return domain.nics.filter(nic => nic.mac !== null && macs.includes(nic.mac));
  });
  return {
    machineId: machineId(),
    ...known,
    keepsIpv6Off:
      existsSync('/proc/sys/net/ipv6') && !links.some(link => link.name === bridge && link.hasIpv6),
    taps: onNetwork.flatMap(nic => nic.tap ?? []),
    user: dnsmasqUser(),
    extras: readExtras(name),
  };
}

function readReservations(network: NetworkConfig): Pick<Survey, 'damage'> & { lines: string[] | null } {
  try {
    const hostsfile = readHostsfile(network.bridge);
    return { lines: wantedReservations(network, readLedger(), hostsfile), damage: null };
  } catch (error) {
    return { lines: null, damage: (error as Error).message };
  }
}

/** The backends whose programs are on this host. */
export function availableBackends(): Backend[] {
  const programs = { nftables: ['nft'], iptables: ['iptables-restore', 'iptables-save'] } as const;
  return (['nftables', 'iptables'] as const).filter(backend => programs[backend].every(isInstalled));
}

/** Whether the kernel has links of type dummy, or a module for them. */
function canMakeDummy(): boolean {
  const modules = `/lib/modules/${release()}`;
  const lists = ['modules.dep', 'modules.builtin'].map(list => readFileOrNull(`${modules}/${list}`) ?? '');
  return existsSync('/sys/module/dummy') || lists.some(list => list.includes('/net/dummy.ko'));
}

function dnsmasqUser(): string {
  const users = readFileOrNull('/etc/passwd')?.split('\n') ?? [];
  return users.some(line => line.startsWith('dnsmasq:')) ? 'dnsmasq' : 'nobody';
}

function readExtras(network: string): DnsmasqHost['extras'] {
  const directory = `${paths.dnsmasqExtras}/${network}`;
  const names = listDirectory(directory).filter(name => name.endsWith('.conf'));
  if (names.length === 0) return null;
  const content = names.map(name => `${name}\n${readFileOrNull(`${directory}/${name}`) ?? ''}`).join('\n');
  return { directory, digest: createHash('sha256').update(content).digest('hex').slice(0, 16) };
}
