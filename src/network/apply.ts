import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatIp } from '../address/ip.ts';
import { startDnsmasq, stopDnsmasq } from '../dnsmasq/service.ts';
import { countRules } from '../firewall/count.ts';
import { replaceIptables } from '../firewall/iptables.ts';
import { createNftables, removeNftables, replaceNftables } from '../firewall/nftables.ts';
import { syncHostsfile } from '../identity/store.ts';
import { allowIn, withdrawFrom } from '../other-firewalls/apply.ts';
import { writeAtomically } from '../system/files.ts';
import { type CommandError, run } from '../system/run.ts';
import { readApplied, writeApplied } from './applied-record.ts';
import { listRules, sysctlPath } from './links.ts';
import { formatAddress, formatDestination, type LinkAttribute, type Step } from './plan.ts';

/** A step that can be one line of `ip -batch`. */
type LinkStep = Extract<
  Step,
  {
    do:
      | 'add bridge'
      | 'add dummy'
      | 'remove link'
      | 'set link'
      | 'add address'
      | 'remove address'
      | 'add route';
  }
>;

/** A step that changes the rules of one backend. */
type RulesStep = Extract<Step, { do: 'load rules' | 'remove rules' }>;

/** Steps that follow each other and are one piece of work. */
type Group =
  | { readonly kind: 'links'; readonly steps: LinkStep[] }
  | { readonly kind: 'rules'; readonly step: RulesStep }
  | { readonly kind: 'other'; readonly step: Exclude<Step, LinkStep | RulesStep> };

/**
 * Carries out steps in their order, link steps that follow each other in one `ip -batch`. Throws at the first that
 * fails.
 */
export async function applySteps(steps: readonly Step[]): Promise<void> {
  const [failure] = await carryOut(steps, failures => failures.length === 0);
  if (failure !== undefined) throw failure;
}

/** As `applySteps`, but goes on after a failure, for a hook, where half a network is better than none. Gives what failed. */
export function applyWhatWorks(steps: readonly Step[]): Promise<Error[]> {
  return carryOut(steps, () => true);
}

async function carryOut(
  steps: readonly Step[],
  goesOn: (failures: readonly Error[]) => boolean,
): Promise<Error[]> {
  const failures: Error[] = [];
  const fail = (error: Error) => void failures.push(error);
  const changedRules: RulesStep[] = [];
  for (const group of groupSteps(steps)) {
    if (!goesOn(failures)) break;
    if (group.kind === 'rules') changedRules.push(group.step);
    await applyGroup(group).catch(fail);
  }
  // What the kernel lists now only the next comparison wants to know.
  await Promise.all(changedRules.map(step => recordRules(step).catch(fail)));
  return failures;
}

async function applyGroup(group: Group): Promise<void> {
  switch (group.kind) {
    case 'links': {
      await run('ip', ['-batch', '-'], group.steps.map(step => `${ipCommand(step)}\n`).join(''));
      return;
    }
    case 'rules':
      return loadRules(group.step);
    case 'other':
      return applyStep(group.step);
  }
}

function groupSteps(steps: readonly Step[]): Group[] {
  const groups: Group[] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (isLinkStep(step)) {
      if (last?.kind === 'links') last.steps.push(step);
      else groups.push({ kind: 'links', steps: [step] });
    } else if (step.do === 'load rules' || step.do === 'remove rules') {
      groups.push({ kind: 'rules', step });
    } else groups.push({ kind: 'other', step });
  }
  return groups;
}

function isLinkStep(step: Step): step is LinkStep {
  return [
    'add bridge',
    'add dummy',
    'remove link',
    'set link',
    'add address',
    'remove address',
    'add route',
  ].includes(step.do);
}

function ipCommand(step: LinkStep): string {
  switch (step.do) {
    case 'add bridge': {
      const { mac, mtu, forwardDelay, stp } = step.state;
      // The MAC comes with the creation: udev's MACAddressPolicy=persistent leaves one alone that was set from the start.
      const options = `forward_delay ${forwardDelay} stp_state ${stp ? 1 : 0}`;
      return `link add name ${step.link} address ${mac} mtu ${mtu} type bridge ${options}`;
    }
    case 'add dummy':
      return `link add name ${step.link} address ${step.state.mac} type dummy`;
    case 'remove link':
      return `link delete dev ${step.link} type ${step.type}`;
    case 'set link':
      return `link set dev ${step.link} ${linkOption(step.attribute, step.to)}`;
    case 'add address': {
      const broadcast =
        step.address.broadcast === null ? '' : ` broadcast ${formatIp(step.address.broadcast)}`;
      return `address replace ${formatAddress(step.address)}${broadcast} dev ${step.link}`;
    }
    case 'remove address':
      return `address delete ${formatAddress(step.address)} dev ${step.link}`;
    case 'add route': {
      // As the kernel writes it when the address comes (fib_add_ifaddr in net/ipv4/fib_frontend.c).
      const options = `proto kernel scope link src ${formatIp(step.address.ip)}`;
      return `route replace ${formatDestination(step.address)} dev ${step.link} ${options}`;
    }
  }
}

function linkOption(attribute: LinkAttribute, to: string): string {
  switch (attribute) {
    case 'mac':
      return `address ${to}`;
    case 'mtu':
      return `mtu ${to}`;
    case 'stp':
      return `type bridge stp_state ${to === 'on' ? 1 : 0}`;
    case 'forward delay':
      return `type bridge forward_delay ${to}`;
    case 'state':
      return to;
    case 'bridge':
      return to === '' ? 'nomaster' : `master ${to}`;
  }
}

async function applyStep(step: Exclude<Step, LinkStep | RulesStep>): Promise<void> {
  switch (step.do) {
    case 'set sysctl':
      return writeSysctl(step.key, step.to);
    case 'write file':
      mkdirSync(dirname(step.path), { recursive: true });
      return writeAtomically(step.path, step.to);
    case 'remove file':
      return rmSync(step.path, { force: true });
    case 'allow in':
      return allowIn(step.firewall, step.bridge, step.lines);
    case 'withdraw from':
      return withdrawFrom(step.firewall, step.bridge, step.lines);
    case 'write reservations':
      return syncHostsfile(step.network, step.bridge);
    case 'start dnsmasq':
      return startDnsmasq(step.bridge);
    case 'stop dnsmasq':
      return stopDnsmasq(step.pid, step.bridge);
  }
}

function writeSysctl(key: string, value: string): void {
  try {
    writeFileSync(sysctlPath(key), value);
  } catch (error) {
    throw new Error(`sysctl ${key} = ${value}: ${(error as Error).message}`);
  }
}

async function loadRules(step: RulesStep): Promise<void> {
  const { bridge } = step;
  const script = scriptOf(step);
  if (step.backend === 'nftables') {
    const load = (text: string) => run('nft', ['-f', '-'], text);
    if (script === null) await load(removeNftables(bridge));
    else
      await load(createNftables(bridge, script)).catch((error: CommandError) => {
        if (error.reason === 'timeout') throw error;
        return load(replaceNftables(bridge, script));
      });
  } else {
    const transaction = replaceIptables(bridge, script, await listRules('iptables', bridge));
    await run('iptables-restore', ['--noflush', '--wait', '5'], transaction);
  }
}

/** Notes what the kernel lists after a load: any later difference is drift. */
async function recordRules(step: RulesStep): Promise<void> {
  const { backend, bridge } = step;
  const script = scriptOf(step);
  const own = script === null ? {} : { [backend]: { script, listing: await listLoaded(step, script) } };
  const applied = readApplied(bridge);
  const { [backend]: _, ...others } = applied.rules;
  writeApplied(bridge, { ...applied, rules: { ...others, ...own } });
}

/** What is listed of a script that was just loaded; nothing when somebody took rules away since, so that it is seen as drift. */
async function listLoaded({ backend, bridge }: RulesStep, script: string): Promise<readonly string[]> {
  const listing = await listRules(backend, bridge);
  return countRules(backend, listing) < countRules(backend, script.split('\n')) ? [] : listing;
}

/** Null for rules that go. */
function scriptOf(step: RulesStep): string | null {
  return step.do === 'load rules' ? step.rules : null;
}
