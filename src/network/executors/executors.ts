// The execution of each kind of step: the only code that changes the network of the host.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { formatIp } from '../../address/ip.ts';
import { vxlanPort } from '../../address/port.ts';
import { isAnswer } from '../../answers.ts';
import { dnsmasqPaths } from '../../dnsmasq/paths.ts';
import { tellDnsmasq } from '../../dnsmasq/process.ts';
import { startDnsmasq, stopDnsmasq } from '../../dnsmasq/service.ts';
import { CommandError, WriteError } from '../../errors.ts';
import { backends } from '../../firewall/backends.ts';
import { removeLeftover } from '../../firewall/flavours.ts';
import { createRulesReader } from '../../firewall/rules-reader.ts';
import { endUdpFlows, endUntranslatedUdpFlows } from '../../firewall/udp-flows.ts';
import { correct, withdrawGuard } from '../../guard/guard.ts';
import { forgetNetworkManager, tellNetworkManager } from '../../host-names/network-manager.ts';
import { revertResolved, tellResolved } from '../../host-names/resolved.ts';
import { syncReservations } from '../../identity/store.ts';
import { allow, withdraw } from '../../other-firewalls/registry.ts';
import { changeMode, makeDirectory, removeFile, writeAtomically } from '../../system/files.ts';
import { hostAddresses } from '../../system/host-addresses.ts';
import { isRunning } from '../../system/processes.ts';
import { run } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import { sysctlPath } from '../kernel/sysctl.ts';
import { parseVlans, vlanCommands } from '../kernel/vlans.ts';
import { recordMadeObjects } from '../records/made-tables.ts';
import { type LinkManagerName, linkManagers } from '../state/link-managers.ts';
import { formatAddress, formatDestination } from '../state/state.ts';
import type { StepName, StepOf } from '../steps/steps.ts';
import { endConnections } from './connections.ts';
import { linkOption } from './link-option.ts';
import { guardOf } from './new-table.ts';

/**
 * The execution of a kind of step: commands of ip(8), of which consecutive ones share a process, or a
 * function.
 */
export type Executor<Name extends StepName> =
  | { readonly kind: 'ip'; commands(step: StepOf<Name>): readonly string[] }
  | { readonly kind: 'single'; run(step: StepOf<Name>): Promise<void> | void };

/**
 * Most multicast groups of a bridge's ports together (mcast_hash_max), beyond which it sends all multicast to all ports
 * for good. The kernel's 4,096 would be used up by three machines: see guard/group-rules.ts.
 */
const maxGroups = 65_536;

/** The MTU of a link whose creator names none (ETH_DATA_LEN of linux/if_ether.h). */
const defaultMtu = 1500;

export const executors: { readonly [Name in StepName]: Executor<Name> } = {
  'add bridge': {
    kind: 'ip',
    commands({ link, state: { mac, mtu, forwardDelay, priority, stp, arp } }) {
      const delay = forwardDelay === null ? '' : `forward_delay ${forwardDelay} `;
      const options = `${delay}priority ${priority} stp_state ${stp ? 1 : 0} mcast_hash_max ${maxGroups}`;
      // A bridge takes the MTU of its smallest port until its own is changed (br_change_mtu in
      // net/bridge/br_device.c): so it is created with another.
      const other = mtu === defaultMtu ? mtu - 1 : defaultMtu;
      return [
        // Given at creation, the MAC is left alone by udev's MACAddressPolicy=persistent.
        `link add name ${link} address ${mac} mtu ${other} type bridge ${options}`,
        `link set dev ${link} mtu ${mtu} arp ${arp ? 'on' : 'off'}`,
      ];
    },
  },
  'rename bridge': {
    kind: 'single',
    async run({ link, to }) {
      const set = (name: string, ...options: string[]) => run('ip', ['link', 'set', 'dev', name, ...options]);
      try {
        await set(link, 'name', to);
      } catch (error) {
        if (!isAnswer(error)) throw error;
        // Before Linux 6.2 only a link that is down can be renamed.
        await set(link, 'down');
        await set(link, 'name', to);
        await set(to, 'up');
      }
    },
  },
  'add dummy': {
    kind: 'ip',
    commands: ({ link, state: { mac, mtu } }) => [
      `link add name ${link} address ${mac} mtu ${mtu} type dummy`,
    ],
  },
  'add tunnel': {
    kind: 'ip',
    commands: ({ link, tunnel: { mac, mtu, vni, local, learns } }) => [
      `link add name ${link} address ${mac} mtu ${mtu} type vxlan id ${vni} local ${formatIp(local)} dstport ${vxlanPort}${learns ? '' : ' nolearning'}`,
    ],
  },
  'set peers': { kind: 'single', run: async step => (await import('../tunnel/tunnel.ts')).setPeers(step) },
  'connect tunnel': {
    kind: 'single',
    run: async step => (await import('../tunnel/tunnel.ts')).connectTunnel(step),
  },
  'configure bgp': {
    kind: 'single',
    run: async step => (await import('../tunnel/bgp.ts')).configureBgp(step),
  },
  'withdraw bgp': { kind: 'single', run: async step => (await import('../tunnel/bgp.ts')).withdrawBgp(step) },
  'remove tunnel filter': {
    kind: 'single',
    run: async ({ bridge }) => (await import('../tunnel/tunnel.ts')).removeFilter(bridge),
  },
  'remove link': { kind: 'ip', commands: ({ link, type }) => [`link delete dev ${link} type ${type}`] },
  'set link': { kind: 'ip', commands: step => [`link set dev ${step.link} ${linkOption(step)}`] },
  'add entry': {
    kind: 'single',
    async run({ link, entry: { mac, isSticky } }) {
      const flags = isSticky ? ['sticky'] : [];
      await run('bridge', ['fdb', 'replace', mac, 'dev', link, 'master', 'static', ...flags]);
    },
  },
  'filter vlans': {
    kind: 'ip',
    commands: ({ link, defaultVlan }) => [
      `link set dev ${link} type bridge vlan_default_pvid ${defaultVlan} vlan_filtering 1`,
    ],
  },
  'set vlans': {
    kind: 'single',
    async run({ link, bridge, vlans }) {
      // A new port is in the default VLAN.
      const found = parseVlans(await run('bridge', ['-json', 'vlan', 'show', 'dev', link])).get(link) ?? [];
      for (const command of vlanCommands(link, bridge, found, vlans)) await run('bridge', command);
    },
  },
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
  'remove file': { kind: 'single', run: ({ path }) => removeFile(path) },
  'claim links': { kind: 'single', run: claimLinks },
  'release links': { kind: 'single', run: releaseLinks },
  'set mode': { kind: 'single', run: setMode },
  'load rules': {
    kind: 'single',
    async run({ backend, family, bridge, script }) {
      const reader = createRulesReader(system);
      const place = { bridge, family };
      recordMadeObjects(await backends[backend].missingObjects(system, reader, place, script));
      await backends[backend].load(system, reader, place, script);
    },
  },
  'remove rules': {
    kind: 'single',
    run: ({ backend, family, bridge }) =>
      backends[backend].remove(system, createRulesReader(system), { bridge, family }),
  },
  'end connections': { kind: 'single', run: ({ bridge, ...change }) => endConnections(bridge, change) },
  'remove leftovers': {
    kind: 'single',
    run: ({ family, bridge, flavour }) =>
      removeLeftover(system, createRulesReader(system), { bridge, family }, flavour),
  },
  'load guard': {
    kind: 'single',
    async run(step) {
      const guard = guardOf(step);
      await guard.load();
      await guard.complete();
    },
  },
  'change guard': {
    kind: 'single',
    run: ({ bridge, missing, surplus, taps }) => correct(bridge, surplus, missing, taps),
  },
  'remove guard': { kind: 'single', run: ({ bridge }) => withdrawGuard(bridge) },
  'change forwards': { kind: 'single', run: changeForwards },
  'allow in': { kind: 'single', run: step => allow(system, step) },
  'withdraw from': { kind: 'single', run: step => withdraw(system, step) },
  'write reservations': { kind: 'single', run: ({ network }) => syncReservations(network) },
  'write names': { kind: 'single', run: ({ network }) => syncReservations(network) },
  'tell resolved': {
    kind: 'single',
    run: ({ bridge, to }) => onceLinkIsKnown(() => tellResolved(system, bridge, to)),
  },
  'revert resolved': { kind: 'single', run: ({ bridge }) => revertResolved(system, bridge) },
  'tell NetworkManager': {
    kind: 'single',
    run: ({ bridge, to }) => tellNetworkManager(system, bridge, to),
  },
  'forget NetworkManager': { kind: 'single', run: ({ bridge }) => forgetNetworkManager(system, bridge) },
  'start dnsmasq': { kind: 'single', run: ({ bridge }) => startDnsmasq(bridge) },
  'stop dnsmasq': { kind: 'single', run: ({ pid, bridge }) => stopDnsmasq(pid, bridge) },
};

/** The time that systemd-resolved may take to notice a new link, and the pause before it is told again. */
const newLinkTimeoutMs = 1000;
const newLinkPauseMs = 30;

async function onceLinkIsKnown(work: () => Promise<void>): Promise<void> {
  const end = performance.now() + newLinkTimeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CommandError) || error.reason !== 'failed' || performance.now() > end)
        throw error;
    }
    await setTimeout(newLinkPauseMs);
  }
}

async function changeForwards({ backend, bridge, ...change }: StepOf<'change forwards'>): Promise<void> {
  await backends[backend].translate(system, { bridge, family: 'ipv4' }, change);
  await endUdpFlows(system, change.stale);
  await endUntranslatedUdpFlows(system, change.missing, hostAddresses());
}

function writeSysctl({ key, to }: StepOf<'set sysctl'>): void {
  const path = sysctlPath(key);
  try {
    writeFileSync(path, to);
  } catch (cause) {
    throw new WriteError(path, cause, `sysctl ${key} = ${to}`);
  }
}

async function claimLinks({ manager, bridge, to }: StepOf<'claim links'>): Promise<void> {
  const path = linkManagers[manager].path(bridge);
  makeDirectory(dirname(path));
  writeAtomically(path, to);
  await reloadManager(manager);
}

async function releaseLinks({ manager, bridge }: StepOf<'release links'>): Promise<void> {
  removeFile(linkManagers[manager].path(bridge));
  await reloadManager(manager);
}

/** A manager that does not run reads its files when it starts. */
async function reloadManager(manager: LinkManagerName): Promise<void> {
  const { programs, reload } = linkManagers[manager];
  const [program, ...args] = reload;
  if (isRunning(programs)) await run(program, args);
}

/** dnsmasq, which may have been unable to read the hostsfile, reads it again. */
function setMode({ bridge, path, to }: StepOf<'set mode'>): void {
  changeMode(path, to);
  const { hostsfile, told } = dnsmasqPaths(bridge);
  removeFile(told);
  if (existsSync(hostsfile)) tellDnsmasq(bridge);
}
