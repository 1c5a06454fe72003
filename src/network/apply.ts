// Executes steps: the only code that changes the network of the host.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatIp } from '../address/ip.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { tellDnsmasq } from '../dnsmasq/process.ts';
import { startDnsmasq, stopDnsmasq } from '../dnsmasq/service.ts';
import { messageOf, VirlanError } from '../errors.ts';
import { backends } from '../firewall/backends.ts';
import { createRulesReader } from '../firewall/rules-reader.ts';
import { syncHostsfile } from '../identity/store.ts';
import { allow, withdraw } from '../other-firewalls/registry.ts';
import { changeMode, makeDirectory, type StagedFile, stageFile, writeAtomically } from '../system/files.ts';
import { system } from '../system/system.ts';
import { readApplied, writeApplied } from './applied-record.ts';
import { runIpBatch } from './ip-batch.ts';
import {
  formatAddress,
  formatDestination,
  isEssential,
  type Step,
  type StepName,
  type StepOf,
} from './steps.ts';
import { sysctlPath } from './sysctl.ts';

export interface FailedStep {
  readonly step: Step;
  readonly error: Error;
}

/** The outcome of each step. */
interface Outcome {
  readonly done: readonly Step[];
  readonly failed: readonly FailedStep[];
  /** Steps that were not tried, because an earlier one failed. */
  readonly skipped: readonly Step[];
}

/** The outcome of each step of a plan. */
export interface Applied extends Outcome {
  /** The reasons why rules that were loaded or removed are not in the record. */
  readonly unrecorded: readonly Error[];
}

/**
 * The execution of a kind of step: commands of ip(8), of which consecutive ones share a process, or a
 * function.
 */
type Executor<Name extends StepName> =
  | { readonly kind: 'ip'; commands(step: StepOf<Name>): readonly string[] }
  | { readonly kind: 'single'; run(step: StepOf<Name>): Promise<void> | void };

/** The MTU of a link whose creator names none (ETH_DATA_LEN of linux/if_ether.h). */
const defaultMtu = 1500;

const executors: { readonly [Name in StepName]: Executor<Name> } = {
  'add bridge': {
    kind: 'ip',
    commands({ link, state: { mac, mtu, forwardDelay, priority, stp } }) {
      const delay = forwardDelay === null ? '' : `forward_delay ${forwardDelay} `;
      const options = `${delay}priority ${priority} stp_state ${stp ? 1 : 0}`;
      // A bridge takes the MTU of its smallest port until its own is changed (br_change_mtu in
      // net/bridge/br_device.c): so it is created with another.
      const other = mtu === defaultMtu ? mtu - 1 : defaultMtu;
      return [
        // Given at creation, the MAC is left alone by udev's MACAddressPolicy=persistent.
        `link add name ${link} address ${mac} mtu ${other} type bridge ${options}`,
        `link set dev ${link} mtu ${mtu}`,
      ];
    },
  },
  'add dummy': {
    kind: 'ip',
    commands: ({ link, state: { mac, mtu } }) => [
      `link add name ${link} address ${mac} mtu ${mtu} type dummy`,
    ],
  },
  'remove link': { kind: 'ip', commands: ({ link, type }) => [`link delete dev ${link} type ${type}`] },
  'set link': { kind: 'ip', commands: step => [`link set dev ${step.link} ${linkOption(step)}`] },
  'add address': {
    kind: 'ip',
    commands({ link, address }) {
      const broadcast = address.broadcast === null ? '' : ` broadcast ${formatIp(address.broadcast)}`;
      return [`address replace ${formatAddress(address)}${broadcast} dev ${link}`];
    },
  },
  'remove address': {
    kind: 'ip',
    commands: ({ link, address }) => [`address delete ${formatAddress(address)} dev ${link}`],
  },
  'add route': {
    kind: 'ip',
    // The same route that the kernel adds together with the address (fib_add_ifaddr in
    // net/ipv4/fib_frontend.c).
    commands: ({ link, address }) => [
      `route replace ${formatDestination(address)} dev ${link} proto kernel scope link src ${formatIp(address.ip)}`,
    ],
  },
  'set sysctl': { kind: 'single', run: writeSysctl },
  'write file': {
    kind: 'single',
    run({ path, to }) {
      makeDirectory(dirname(path));
      writeAtomically(path, to);
    },
  },
  'remove file': { kind: 'single', run: ({ path }) => rmSync(path, { force: true }) },
  'set mode': { kind: 'single', run: setMode },
  'load rules': {
    kind: 'single',
    run: ({ backend, family, bridge, script }) =>
      backends[backend].load(system, createRulesReader(system), { bridge, family }, script),
  },
  'remove rules': {
    kind: 'single',
    run: ({ backend, family, bridge }) =>
      backends[backend].remove(system, createRulesReader(system), { bridge, family }),
  },
  'allow in': { kind: 'single', run: step => allow(system, step) },
  'withdraw from': { kind: 'single', run: step => withdraw(system, step) },
  'write reservations': {
    kind: 'single',
    run: ({ network: { name, fixedReservations }, bridge }) =>
      syncHostsfile({ name, hosts: fixedReservations }, bridge),
  },
  'start dnsmasq': { kind: 'single', run: ({ bridge }) => startDnsmasq(bridge) },
  'stop dnsmasq': { kind: 'single', run: ({ pid, bridge }) => stopDnsmasq(pid, bridge) },
};

/**
 * Executes steps in their order, and returns the outcome of each. With `onFailure` 'stop' the steps after the
 * first essential one that fails are skipped; with 'continue' all are tried.
 */
export async function applySteps(steps: readonly Step[], onFailure: 'stop' | 'continue'): Promise<Applied> {
  let applied: Outcome = { done: [], failed: [], skipped: [] };
  for (const group of replaceConfigurations(loadRulesSideBySide(groupSteps(steps)))) {
    const isSkipped = applied.failed.some(({ step }) => isEssential(step)) && onFailure === 'stop';
    const result = isSkipped ? { done: [], failed: [], skipped: group.steps } : await group.run(onFailure);
    applied = joinOutcomes(applied, result);
  }
  const { done, skipped } = applied;
  const failed = [...applied.failed];
  // Only the next comparison needs the listing, so DHCP answers before it is read.
  const loaded = done.filter(isRulesStep);
  const unrecorded: Error[] = [];
  const recorded = await Promise.allSettled(loaded.map(recordRules));
  for (const [index, result] of recorded.entries()) {
    const step = loaded[index];
    if (result.status === 'fulfilled' || step === undefined) continue;
    if (isWriteFailure(result.reason)) unrecorded.push(result.reason);
    else failed.push({ step, error: result.reason });
  }
  const lasting = done.filter(step => !failed.some(each => each.step === step));
  return { done: lasting, failed, skipped, unrecorded };
}

/** Returns whether an error is about a file that cannot be written, such as on a full disk. */
function isWriteFailure(error: unknown): error is VirlanError {
  return error instanceof VirlanError && error.code === 'write-failed';
}

/** Returns the outcomes of two plans as one. */
export function joinApplied(first: Applied, second: Applied): Applied {
  return { ...joinOutcomes(first, second), unrecorded: [...first.unrecorded, ...second.unrecorded] };
}

function joinOutcomes(first: Outcome, second: Outcome): Outcome {
  return {
    done: [...first.done, ...second.done],
    failed: [...first.failed, ...second.failed],
    skipped: [...first.skipped, ...second.skipped],
  };
}

/** Steps that one process executes, or one function. */
interface Group {
  readonly steps: readonly Step[];
  run(onFailure: 'stop' | 'continue'): Promise<Outcome>;
}

/**
 * Joins groups that load rules, and the group after them where that adds links and changes no other: nothing
 * is plugged into them, so no machine is reachable before the rules are there. libvirtd waits 6 ms less for
 * each.
 */
function loadRulesSideBySide(groups: readonly Group[]): Group[] {
  const joined: Group[] = [];
  for (const group of groups) {
    const before = joined.at(-1);
    const canJoin = loadsRules(group.steps) || changesOnlyNewLinks(group.steps);
    if (before !== undefined && loadsRules(before.steps) && canJoin) {
      const run = async (onFailure: 'stop' | 'continue') => {
        const [first, second] = await Promise.all([before.run(onFailure), group.run(onFailure)]);
        return joinOutcomes(first, second);
      };
      joined.splice(-1, 1, { steps: [...before.steps, ...group.steps], run });
    } else joined.push(group);
  }
  return joined;
}

function loadsRules(steps: readonly Step[]): boolean {
  return steps.every(({ kind }) => kind === 'load rules');
}

/**
 * Joins the end of dnsmasq, its new configuration and its start. The new text is on disk before dnsmasq ends,
 * so that a full disk does not end it; and in place after that, so that an interrupted change is seen as a
 * stopped dnsmasq.
 */
function replaceConfigurations(groups: readonly Group[]): Group[] {
  const joined: Group[] = [];
  for (const group of groups) {
    const [stop, write] = joined.slice(-2).flatMap(before => before.steps);
    const [start] = group.steps;
    if (stop?.kind === 'stop dnsmasq' && write?.kind === 'write file' && start?.kind === 'start dnsmasq') {
      const run = () => replaceConfiguration(stop, write, start);
      joined.splice(-2, 2, { steps: [stop, write, start], run });
    } else joined.push(group);
  }
  return joined;
}

async function replaceConfiguration(
  stop: StepOf<'stop dnsmasq'>,
  write: StepOf<'write file'>,
  start: StepOf<'start dnsmasq'>,
): Promise<Outcome> {
  let staged: StagedFile;
  try {
    makeDirectory(dirname(write.path));
    staged = stageFile(write.path, write.to);
  } catch (error) {
    return { done: [], failed: [{ step: write, error: error as Error }], skipped: [stop, start] };
  }
  const stopped = await attempt(stop, () => stopDnsmasq(stop.pid, stop.bridge));
  if (stopped.failed.length > 0) {
    staged.discard();
    return { ...stopped, skipped: [write, start] };
  }
  const written = await attempt(write, staged.commit);
  const started = await attempt(start, () => startDnsmasq(start.bridge));
  return [written, started].reduce(joinOutcomes, stopped);
}

function changesOnlyNewLinks(steps: readonly Step[]): boolean {
  const added = steps.flatMap(step =>
    step.kind === 'add bridge' || step.kind === 'add dummy' ? step.link : [],
  );
  return steps.every(step => 'link' in step && added.includes(step.link));
}

function groupSteps(steps: readonly Step[]): Group[] {
  const groups: Group[] = [];
  let commands: StepCommand[] = [];
  const flush = () => {
    const batch = commands;
    if (batch.length > 0)
      groups.push({ steps: stepsOf(batch), run: onFailure => runBatch(batch, onFailure) });
    commands = [];
  };
  for (const step of steps) {
    const own = ipCommands(step);
    if (own !== null) commands.push(...own.map(command => ({ step, command })));
    else {
      flush();
      groups.push({ steps: [step], run: () => runSingle(step) });
    }
  }
  flush();
  return groups;
}

function ipCommands<Name extends StepName>(step: StepOf<Name>): readonly string[] | null {
  const executor: Executor<Name> = executors[step.kind];
  return executor.kind === 'ip' ? executor.commands(step) : null;
}

interface StepCommand {
  readonly step: Step;
  readonly command: string;
}

function stepsOf(batch: readonly StepCommand[]): Step[] {
  return [...new Set(batch.map(({ step }) => step))];
}

async function runBatch(batch: readonly StepCommand[], onFailure: 'stop' | 'continue'): Promise<Outcome> {
  const steps = stepsOf(batch);
  try {
    const { failed, skipped } = await runIpBatch(
      system,
      batch.map(({ command }) => command),
      onFailure,
    );
    const errorOf = (step: Step) => failed.find(({ index }) => batch[index]?.step === step)?.error;
    const isSkipped = (step: Step) => skipped.some(index => batch[index]?.step === step);
    const withoutError = steps.filter(step => errorOf(step) === undefined);
    return {
      done: withoutError.filter(step => !isSkipped(step)),
      failed: steps.flatMap(step => {
        const error = errorOf(step);
        return error === undefined ? [] : [{ step, error }];
      }),
      skipped: withoutError.filter(isSkipped),
    };
  } catch (error) {
    // ip is missing or hangs: which of the commands took effect is unknown.
    return { done: [], failed: steps.map(step => ({ step, error: error as Error })), skipped: [] };
  }
}

async function runSingle<Name extends StepName>(step: StepOf<Name> & Step): Promise<Outcome> {
  const executor: Executor<Name> = executors[step.kind as Name];
  return attempt(step, () => (executor.kind === 'single' ? executor.run(step) : undefined));
}

async function attempt(step: Step, work: () => Promise<void> | void): Promise<Outcome> {
  try {
    await work();
    return { done: [step], failed: [], skipped: [] };
  } catch (error) {
    return { done: [], failed: [{ step, error: error as Error }], skipped: [] };
  }
}

function linkOption(step: StepOf<'set link'>): string {
  switch (step.attribute) {
    case 'mac':
      return `address ${step.to}`;
    case 'mtu':
      return `mtu ${step.to}`;
    case 'stp':
      return `type bridge stp_state ${step.to ? 1 : 0}`;
    case 'priority':
      return `type bridge priority ${step.to}`;
    case 'forward delay':
      return `type bridge forward_delay ${step.to}`;
    case 'state':
      return step.to;
    case 'bridge':
      return step.to === null ? 'nomaster' : `master ${step.to}`;
    case 'group_fwd_mask':
      return `type bridge_slave group_fwd_mask ${step.to}`;
    case 'isolated':
    case 'hairpin':
    case 'learning':
    case 'flood':
    case 'mcast_flood':
    case 'mcast_to_unicast':
    case 'neigh_suppress':
    case 'proxy_arp':
    case 'locked':
    case 'root_block':
    case 'guard':
      return `type bridge_slave ${step.attribute} ${step.to ? 'on' : 'off'}`;
  }
}

function writeSysctl({ key, to }: StepOf<'set sysctl'>): void {
  try {
    writeFileSync(sysctlPath(key), to);
  } catch (cause) {
    throw new VirlanError('write-failed', `sysctl ${key} = ${to}: ${messageOf(cause)}`, { cause });
  }
}

/** dnsmasq, which may have been unable to read the hostsfile, reads it again. */
function setMode({ bridge, path, to }: StepOf<'set mode'>): void {
  changeMode(path, to);
  const { hostsfile, told } = dnsmasqPaths(bridge);
  rmSync(told, { force: true });
  if (existsSync(hostsfile)) tellDnsmasq(bridge);
}

type RulesStep = StepOf<'load rules'> | StepOf<'remove rules'>;

function isRulesStep(step: Step): step is RulesStep {
  return step.kind === 'load rules' || step.kind === 'remove rules';
}

/** Records what the kernel lists after a change of rules: any later difference is drift. */
async function recordRules(step: RulesStep): Promise<void> {
  const { backend, family, bridge } = step;
  const loaded =
    step.kind === 'remove rules'
      ? []
      : [{ backend, family, script: step.script, listing: await listLoaded(step) }];
  const applied = readApplied(bridge);
  const others = applied.rules.filter(rules => rules.backend !== backend || rules.family !== family);
  writeApplied(bridge, { ...applied, rules: [...others, ...loaded] });
}

/**
 * Returns the listing; none when another program removed rules meanwhile, so that the next comparison sees
 * drift.
 */
async function listLoaded({ backend, family, bridge, script }: StepOf<'load rules'>): Promise<string[]> {
  const { list, countRules } = backends[backend];
  const listing = await list(createRulesReader(system), { bridge, family });
  return countRules(listing) < countRules(script.split('\n')) ? [] : listing;
}
