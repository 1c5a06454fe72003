// Tells what of a network virlan made, where no record says so: its links have MACs that follow from the host, and its
// files say who wrote them. Pure.
import type { Mac } from '../address/mac.ts';
import { isWrittenByVirlan } from '../dnsmasq/conf.ts';
import { gatewayMac, linkMac } from '../identity/formula.ts';
import { desiredHost } from './desired.ts';
import type { HostState, ObservedNetwork } from './state/state.ts';

/** The objects of a network that `down` restores. */
export interface Objects extends Pick<ObservedNetwork, 'link' | 'dummy'> {
  readonly dnsmasq: Pick<ObservedNetwork['dnsmasq'], 'conf' | 'pid'>;
}

/** A network on this host. */
interface Place {
  readonly name: string;
  readonly bridge: string;
  readonly machineId: string;
}

/** Returns the objects that others made. Of a bridge, the dnsmasq that has no file any more goes with it. */
export function withoutOwn({ link, dummy, dnsmasq }: Objects, { name, bridge, machineId }: Place): Objects {
  const macs: (Mac | undefined)[] = [linkMac('bridge', machineId, bridge), gatewayMac(name)];
  const isOwnLink = macs.includes(link?.mac);
  const { conf, pid } = dnsmasq;
  const isOwnDnsmasq = conf === null ? isOwnLink : isWrittenByVirlan(conf);
  return {
    link: isOwnLink ? null : link,
    dummy: dummy?.mac === linkMac('nic', machineId, bridge) ? null : dummy,
    dnsmasq: isOwnDnsmasq ? { conf: null, pid: null } : { conf, pid },
  };
}

/**
 * Returns the settings of the host that virlan did not make. Where it has been at work, its own values say nothing
 * about earlier ones.
 */
export function withoutOwnSettings({ sysctls, sysctlFile }: HostState, isAtWork: boolean): HostState {
  const own = desiredHost();
  const isOwnFile = sysctlFile !== null && isOwnSysctlFile(sysctlFile);
  const isKept = ([key, value]: readonly [string, string]) => own.sysctls.get(key) !== value;
  return {
    sysctls: isAtWork || isOwnFile ? new Map([...sysctls].filter(isKept)) : sysctls,
    sysctlFile: isOwnFile ? null : sysctlFile,
  };
}

/** Compares the first line: the others may be those of another version. */
function isOwnSysctlFile(text: string): boolean {
  const [header] = desiredHost().sysctlFile?.split('\n') ?? [];
  return text.split('\n')[0] === header;
}
