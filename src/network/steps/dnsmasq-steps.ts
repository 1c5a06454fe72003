// Steps for dnsmasq: its process, and the files that it reads.
import * as v from 'valibot';
import { withoutMark } from '../../dnsmasq/hostsfile.ts';
import { dnsmasqPaths } from '../../dnsmasq/paths.ts';
import type { ReservedNetwork } from '../../identity/decision.ts';
import type { DesiredNetwork, ObservedNetwork } from '../state/state.ts';
import { type HostStep, planFile } from './host-steps.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds, StepKind, StepsOf } from './step-kind.ts';
import { describeLines, line } from './step-text.ts';

/** The fields of each kind. */
export interface DnsmasqFields {
  'write reservations': ChangedLines;
  'write names': ChangedLines;
  'start dnsmasq': { readonly bridge: string };
  'stop dnsmasq': {
    readonly bridge: string;
    readonly pid: number;
    readonly isStopped: boolean;
    readonly isUnbound: boolean;
    readonly hasOtherLeases: boolean;
  };
}

/** Lines to write into a file of a network's reservations, and those to remove. */
interface ChangedLines {
  readonly network: ReservedNetwork;
  readonly bridge: string;
  readonly missing: readonly string[];
  readonly stale: readonly string[];
}

type DnsmasqStep = StepsOf<DnsmasqFields>;

export const dnsmasqKinds: Kinds<DnsmasqFields> = {
  'write reservations': linesKind('reservations', 'hostsfile', 'the hostsfile'),
  'write names': linesKind('names', 'names', 'the file of names'),
  'start dnsmasq': {
    describe: ({ bridge }) => line('+', 'dnsmasq', `DHCP and DNS on ${bridge}`),
    unit: ({ bridge }) => ({ kind: 'dnsmasq', bridge }),
    goal: () => 'running',
    check: () => 'dnsmasq',
    fault: ({ bridge }) => `no dnsmasq runs on ${bridge}`,
  },
  'stop dnsmasq': {
    describe: ({ pid }) => line('-', 'dnsmasq', `process ${pid}`),
    unit: ({ bridge }) => ({ kind: 'dnsmasq', bridge }),
    // A dnsmasq is stopped to be started again, which leads to the same state as the start alone.
    goal: () => '',
    check: () => 'dnsmasq',
    fault({ bridge, pid, isStopped, isUnbound, hasOtherLeases }) {
      if (isStopped) return `dnsmasq, process ${pid}, was stopped by a signal and answers nobody`;
      if (isUnbound) return `dnsmasq, process ${pid}, does not hear ${bridge}, which was made anew`;
      if (hasOtherLeases)
        return `dnsmasq, process ${pid}, writes its leases to another file than ${dnsmasqPaths(bridge).leases}, which was moved, removed or replaced`;
      return 'dnsmasq does not run with the configuration that virlan.ini calls for';
    },
  },
};

export function dnsmasqForms(): Forms<DnsmasqFields> {
  const { integer, text } = formParts();
  const lines = { network: text, bridge: text, missing: v.array(text), stale: v.array(text) };
  return {
    'write reservations': lines,
    'write names': lines,
    'start dnsmasq': { bridge: text },
    'stop dnsmasq': {
      bridge: text,
      pid: integer,
      isStopped: v.boolean(),
      isUnbound: v.boolean(),
      hasOtherLeases: v.boolean(),
    },
  };
}

/** Returns the declaration of a kind that changes lines of a file, whose name for people is `fileText`. */
function linesKind(
  unit: 'reservations' | 'names',
  file: 'hostsfile' | 'names',
  fileText: string,
): StepKind<ChangedLines> {
  return {
    describe: step => describeLines(dnsmasqPaths(step.bridge)[file], step),
    unit: ({ bridge }) => ({ kind: unit, bridge }),
    goal: changedLines,
    check: () => 'reservations',
    fault: ({ missing: [lacking], stale: [surplus = ''] }) =>
      lacking === undefined
        ? `${fileText} has a surplus line: ${withoutMark(surplus)}`
        : `${fileText} lacks ${withoutMark(lacking)}`,
    json: changedLinesJson,
  };
}

function changedLinesJson({ network, bridge, missing, stale }: ChangedLines): object {
  return { network: network.name, bridge, missing, stale };
}

/** Returns the lines that the step changes: all others are as they were. */
function changedLines({ missing, stale }: ChangedLines): string {
  return JSON.stringify([missing, stale]);
}

export function planReservations(
  { reservations: wanted }: DesiredNetwork,
  { published: found }: ObservedNetwork,
): DnsmasqStep[] {
  if (wanted.kind === 'leave') return [];
  const { name, bridge, domain, subnet, gateway, hosts } = wanted.network;
  const network = { name, bridge, domain, subnet, gateway, hosts };
  const plan = (kind: 'write reservations' | 'write names', what: keyof typeof found): DnsmasqStep[] => {
    const { missing, stale } = compareLines(wanted[what], found[what]);
    return missing.length + stale.length === 0 ? [] : [{ kind, network, bridge, missing, stale }];
  };
  return [...plan('write reservations', 'reservations'), ...plan('write names', 'names')];
}

/** Compares lines in any order. */
function compareLines(wanted: readonly string[], found: readonly string[]) {
  const [isWanted, isFound] = [new Set(wanted), new Set(found)];
  return {
    missing: wanted.filter(line => !isFound.has(line)),
    stale: found.filter(line => !isWanted.has(line)),
  };
}

export function planDnsmasq(
  { bridge, link, dnsmasq: wanted }: DesiredNetwork,
  observed: ObservedNetwork,
): (DnsmasqStep | HostStep)[] {
  const { conf, pid, isStopped, hasOtherLeases } = observed.dnsmasq;
  // dnsmasq binds its DHCP socket to the bridge, and with `no-ping` it has given up CAP_NET_RAW by the time
  // that the bridge is made anew, so that it cannot bind it again.
  const isUnbound = observed.dnsmasq.isUnbound || (link !== null && observed.link === null);
  const isToBeReplaced = pid !== null && wanted.runs && (isStopped || isUnbound || hasOtherLeases);
  if (wanted.conf === conf && wanted.runs === (pid !== null) && !isToBeReplaced) return [];
  return [
    ...(pid === null
      ? []
      : [{ kind: 'stop dnsmasq', bridge, pid, isStopped, isUnbound, hasOtherLeases } as const]),
    ...planFile(dnsmasqPaths(bridge).conf, wanted.conf, conf),
    ...(wanted.runs ? [{ kind: 'start dnsmasq', bridge } as const] : []),
  ];
}
