// The planner: derives ordered steps from the desired and the observed state. Pure. The files steps/*-steps.ts plan the
// steps of each kind.
import type { RulesScript } from '../firewall/backend.ts';
import type { DesiredNetwork, HostState, ObservedNetwork } from './state/state.ts';
import { planDnsmasq, planReservations } from './steps/dnsmasq-steps.ts';
import { planGuard } from './steps/guard-steps.ts';
import { planFile, planManagers, planModes, planSysctls } from './steps/host-steps.ts';
import { planBridge, planDummy, setLink } from './steps/link-steps.ts';
import { planBridgeVlans, planRootPort, planTaps } from './steps/port-steps.ts';
import {
  planConnections,
  planLeftovers,
  planLoad,
  planRemovals,
  planTranslations,
} from './steps/rule-steps.ts';
import type { Step } from './steps/steps.ts';

/**
 * Returns the steps from what exists to what is desired. No machine is ever reachable without the rules:
 * primary rules are loaded first and removed last. Managers of links are told before the links exist. Companion rules
 * (checksums) come near the end. dnsmasq stops before its configuration changes, so that an interrupted change is seen
 * as a stopped dnsmasq.
 */
export function planNetwork(desired: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const loads = (role: RulesScript['role']) =>
    desired.rules.filter(script => script.role === role).flatMap(script => planLoad(script, observed));
  const removals = [...planRemovals(desired, observed), ...planLeftovers(desired, observed)];
  const links = planLinks(desired, observed);
  const dnsmasq = planDnsmasq(desired, observed);
  const companions = loads('companion');
  const managers = planManagers(desired, observed);
  const guard = planGuard(desired, observed);
  if (desired.link === null)
    return [...dnsmasq, ...links, ...loads('primary'), ...companions, ...removals, ...guard, ...managers];
  const sysctls = planSysctls(desired.sysctls, observed.link === null ? new Map() : observed.sysctls);
  const primary = loads('primary');
  return [
    ...managers,
    ...primary,
    ...guard,
    ...links,
    ...sysctls,
    ...planTranslations(desired, observed, primary),
    ...removals,
    ...planConnections(desired, observed),
    ...planModes(desired, observed),
    ...planReservations(desired, observed),
    ...dnsmasq,
    ...companions,
  ];
}

/**
 * Returns the steps for the bridge and its ports. STP starts last: a port that enters a bridge with STP, or comes up,
 * forwards nothing for twice the forward delay, and machines that return to the network must not wait. A port that
 * forwards continues when STP starts (br_stp_start in net/bridge/br_stp_if.c).
 */
function planLinks(desired: DesiredNetwork, observed: ObservedNetwork): Step[] {
  const { bridge, link } = desired;
  const { renamedTo } = observed;
  const ports = [...planRootPort(desired, observed), ...planTaps(desired, observed)];
  const isDelayed = link?.stp === true && ports.some(startsForwarding);
  const meanwhile = isDelayed ? { ...desired, link: { ...link, stp: false } } : desired;
  return [
    ...(renamedTo === null ? [] : [{ kind: 'rename bridge', link: renamedTo, to: bridge } as const]),
    ...planBridge(meanwhile, observed),
    ...planBridgeVlans(desired, observed),
    ...planDummy(desired, observed),
    ...ports,
    ...(isDelayed ? setLink(bridge, { attribute: 'stp', from: false, to: true }) : []),
  ];
}

function startsForwarding(step: Step): boolean {
  return step.kind === 'set link' && (step.attribute === 'bridge' || step.attribute === 'state');
}

/** Returns the steps for the settings of the host as a whole; `path` is virlan's file under /etc/sysctl.d. */
export function planHost(desired: HostState, observed: HostState, path: string): Step[] {
  return [
    ...planSysctls(desired.sysctls, observed.sysctls),
    ...planFile(path, desired.sysctlFile, observed.sysctlFile),
  ];
}
