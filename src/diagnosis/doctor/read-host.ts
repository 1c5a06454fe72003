// Reads the doctor's facts about the host.
import { accessSync, constants, existsSync, watch } from 'node:fs';
import type { Config, NetworkConfig } from '../../config/config.ts';
import { messageOf } from '../../errors.ts';
import { availableBackends, chooseBackend } from '../../firewall/backends.ts';
import { listTimeoutSeconds } from '../../firewall/rules-reader.ts';
import { replacedKernel } from '../../network/kernel/read-kernel.ts';
import { readLacking } from '../../network/records/lacking.ts';
import { surveyHost } from '../../network/survey-host.ts';
import { readFileOrNull } from '../../system/files.ts';
import { usedUpSysctl } from '../../system/inotify.ts';
import { run, runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import type { DoctorHostFacts } from './facts.ts';
import { type HookFile, type HookState, hookDrivers, hookPlaces, hookStateOf } from './hooks.ts';
import { parsePortOwners } from './ports.ts';
import { readDnsmasqPackage } from './read-dnsmasq.ts';

/** Reads the facts about the host. */
export async function readHostFacts({ networks }: Config): Promise<DoctorHostFacts> {
  const [nftError, portOwners, dnsmasq] = await Promise.all([
    readNftError(),
    readPortOwners(),
    readDnsmasqPackage(),
  ]);
  return {
    survey: surveyHost({ hostForwards: networks.some(({ hostForwards }) => hostForwards) }),
    nftError,
    isNftNeeded: networks.some(usesNftables),
    replacedKernel: replacedKernel(),
    conntrack: readConntrack(),
    inotifyLimit: readInotifyLimit(),
    portOwners,
    dnsmasq,
    hooks: existsSync('/etc/libvirt') ? readHooks() : null,
  };
}

function usesNftables(network: NetworkConfig): boolean {
  const available = availableBackends(system.isInstalled);
  // A backend that is configured and not installed is a finding of the network.
  if (network.firewall === 'iptables' || !available.includes('nftables')) return false;
  return chooseBackend(network, available, readLacking(network.bridge)).chosen === 'nftables';
}

async function readNftError(): Promise<string | null> {
  if (!availableBackends(system.isInstalled).includes('nftables')) return null;
  try {
    await run('nft', ['list', 'tables'], { timeoutSeconds: listTimeoutSeconds });
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

async function readPortOwners(): Promise<DoctorHostFacts['portOwners']> {
  const options = ['--no-header', '--listening', '--numeric', '--tcp', '--udp', '--processes'];
  const output = await runOrNull('ss', [...options, '( sport = :53 or sport = :67 )']);
  return output === null ? null : parsePortOwners(output);
}

function readConntrack(): DoctorHostFacts['conntrack'] {
  const count = readFileOrNull('/proc/sys/net/netfilter/nf_conntrack_count');
  const max = readFileOrNull('/proc/sys/net/netfilter/nf_conntrack_max');
  return count === null || max === null ? null : { count: Number(count), max: Number(max) };
}

function readInotifyLimit(): DoctorHostFacts['inotifyLimit'] {
  try {
    watch('/').close();
    return null;
  } catch (error) {
    const sysctl = usedUpSysctl(error);
    if (sysctl === null) return null;
    return { sysctl, max: Number(readFileOrNull(`/proc/sys/${sysctl.replaceAll('.', '/')}`)) };
  }
}

function readHooks(): Record<string, HookState> {
  return Object.fromEntries(
    hookDrivers.map(driver => [driver, hookStateOf(hookPlaces(driver).flatMap(readHookFile))]),
  );
}

function readHookFile(path: string): HookFile[] {
  const text = readFileOrNull(path);
  return text === null ? [] : [{ path, text, isExecutable: isExecutable(path) }];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
