import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatIpv4 } from '../address/ipv4.ts';
import { writeAtomically } from '../host/files.ts';
import { run } from '../host/run.ts';
import { syncHostsfile } from '../identity/store.ts';
import { readApplied, writeApplied } from './applied.ts';
import { dnsmasqPaths } from './dnsmasq.ts';
import { hasEnded } from './dnsmasq-process.ts';
import { replaceIptables } from './firewall/iptables.ts';
import { removeNftables } from './firewall/nftables.ts';
import { listRules, sysctlPath } from './kernel.ts';
import { formatAddress, type LinkAttribute, type Step } from './plan.ts';
import type { Backend } from './state.ts';

/** A step that can be one line of `ip -batch`. */
type LinkStep = Extract<
  Step,
  { do: 'add bridge' | 'add dummy' | 'remove link' | 'set link' | 'add address' | 'remove address' }
>;

/** Carries out steps in their order, all link steps that follow each other in one `ip -batch`. Throws at the first that fails. */
export async function applySteps(steps: readonly Step[]): Promise<void> {
  for (const group of groupSteps(steps)) {
    if (Array.isArray(group))
      await run('ip', ['-batch', '-'], group.map(step => `${ipCommand(step)}\n`).join(''));
    else await applyStep(group);
  }
}

/** As `applySteps`, but goes on after a failure, for a hook, where half a network is better than none. Gives what failed. */
export async function applyWhatWorks(steps: readonly Step[]): Promise<Error[]> {
  const failures: Error[] = [];
  for (const group of groupSteps(steps)) {
    await applySteps(Array.isArray(group) ? group : [group]).catch(error => failures.push(error));
  }
  return failures;
}

function groupSteps(steps: readonly Step[]): (LinkStep[] | Exclude<Step, LinkStep>)[] {
  const groups: (LinkStep[] | Exclude<Step, LinkStep>)[] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (!isLinkStep(step)) groups.push(step);
    else if (Array.isArray(last)) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

function isLinkStep(step: Step): step is LinkStep {
  return ['add bridge', 'add dummy', 'remove link', 'set link', 'add address', 'remove address'].includes(
    step.do,
  );
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
        step.address.broadcast === null ? '' : ` broadcast ${formatIpv4(step.address.broadcast)}`;
      return `address replace ${formatAddress(step.address)}${broadcast} dev ${step.link}`;
    }
    case 'remove address':
      return `address delete ${formatAddress(step.address)} dev ${step.link}`;
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

async function applyStep(step: Exclude<Step, LinkStep>): Promise<void> {
  switch (step.do) {
    case 'set sysctl':
      return writeSysctl(step.key, step.to);
    case 'write file':
      mkdirSync(dirname(step.path), { recursive: true });
      return writeAtomically(step.path, step.to);
    case 'remove file':
      return rmSync(step.path, { force: true });
    case 'load rules':
      return loadRules(step.backend, step.bridge, step.rules);
    case 'remove rules':
      return loadRules(step.backend, step.bridge, null);
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

/** Loads a script, or removes the rules with a null, and notes what the kernel lists then: any later difference is drift. */
async function loadRules(backend: Backend, bridge: string, script: string | null): Promise<void> {
  if (backend === 'nftables') {
    await run('nft', ['-f', '-'], script ?? removeNftables(bridge));
  } else {
    const transaction = replaceIptables(bridge, script, await listRules('iptables', bridge));
    await run('iptables-restore', ['--noflush', '--wait', '5'], transaction);
  }
  const applied = readApplied(bridge);
  const { [backend]: _, ...others } = applied.rules;
  const own = script === null ? {} : { [backend]: { script, listing: await listRules(backend, bridge) } };
  writeApplied(bridge, { ...applied, rules: { ...others, ...own } });
}

async function startDnsmasq(bridge: string): Promise<void> {
  const { conf, pid, hostsfile } = dnsmasqPaths(bridge);
  mkdirSync(dirname(pid), { recursive: true });

  writeFileSync(hostsfile, '', { flag: 'a', mode: 0o644 });
  // dnsmasq returns when it has bound its ports and reads requests. A configuration written by hand names no pid file.
  await run('dnsmasq', [`--conf-file=${conf}`, `--pid-file=${pid}`]);
}

/** How long dnsmasq may take to end before it is killed, in milliseconds, and how often that is looked at: it is no child, so nothing tells. */
const patience = { total: 2000, interval: 5 };

async function stopDnsmasq(pid: number, bridge: string): Promise<void> {
  process.kill(pid, 'SIGTERM');
  for (let waited = 0; !hasEnded(pid); waited += patience.interval) {
    if (waited === patience.total) process.kill(pid, 'SIGKILL');
    if (waited > 2 * patience.total)
      throw new Error(`dnsmasq of ${bridge}, process ${pid}, does not end: kill it by hand`);
    await new Promise(resolve => setTimeout(resolve, patience.interval));
  }
  rmSync(dnsmasqPaths(bridge).pid, { force: true });
}
