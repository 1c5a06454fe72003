// Records what was there before a change, and what virlan adds. A record that cannot be written is returned as
// an error: the change is made all the same.
import { isDeepStrictEqual } from 'node:util';
import { WriteError } from '../errors.ts';
import type { RefusedForward } from '../forwards/problem.ts';
import { recordForwards } from '../forwards/read.ts';
import { removeForwardsRecord } from '../forwards/record.ts';
import { readFileOrNull } from '../system/files.ts';
import { machineId } from '../system/machine-id.ts';
import { type Objects, withoutOwn, withoutOwnSettings } from './own-marks.ts';
import {
  type AppliedRecord,
  isUnsaved,
  readApplied,
  removeApplied,
  writeApplied,
} from './records/applied-record.ts';
import {
  type Addition,
  bootId,
  copyOriginalState,
  isCopied,
  recordedNetwork,
  recordOriginalState,
  removeOriginalState,
} from './records/original-state.ts';
import { formatAddress, type ObservedNetwork, type TapState } from './state/state.ts';
import type { OwnSurvey } from './survey.ts';
import { type HostSurvey, withConsequences } from './survey-host.ts';
import type { NetworkWarning } from './warnings/warnings.ts';

/**
 * Records what is there now, for "down". Returns why that failed; null if it did not. A later call records
 * what this one could not.
 */
export function recordOriginal(host: HostSurvey, survey: OwnSurvey): Error | null {
  const { bridge } = survey.network;
  const isSteady = survey.steps.length + host.steps.length === 0 && !isCopied();
  if (isSteady && recordedNetwork(bridge)?.boot === bootId()) return null;
  return failureOf(() => recordOriginalState(additionOf(host, survey)));
}

/**
 * Records what virlan is about to add, and keeps a copy of what is there now if `original` says why it is not recorded.
 * Returns `original` and the reasons why that failed, null for what did not.
 */
export function recordChanges(
  host: HostSurvey,
  survey: OwnSurvey,
  original: Error | null,
): readonly (Error | null)[] {
  const { network, observed } = survey;
  return [
    original,
    original === null ? null : copyOriginal(host, survey),
    recordAdditions(host, survey),
    recordPorts(survey),
    failureOf(() => recordDnsmasq(network.bridge, observed.dnsmasq.pid)),
  ];
}

/** Keeps what is there now until it can be recorded. Returns why that failed, as `recordOriginal` does. */
function copyOriginal(host: HostSurvey, survey: OwnSurvey): Error | null {
  return failureOf(() => copyOriginalState(additionOf(host, survey)));
}

/** Records what virlan is about to add. Returns why that failed, as `recordOriginal` does. */
function recordAdditions(host: HostSurvey, { network: { bridge }, desired, steps }: OwnSurvey): Error | null {
  if (steps.length + host.steps.length === 0 && !isUnsaved(bridge)) return null;
  const applied = readApplied(bridge);
  const addresses = (desired.link?.addresses ?? []).map(formatAddress);
  const all = [...new Set([...applied.addresses, ...addresses])];
  const wanted = desired.treatment === null ? null : { ...desired.treatment };
  const treatment = applied.treatment ?? wanted;
  return failureOf(() => writeApplied(bridge, { ...applied, addresses: all, treatment }));
}

/**
 * Keeps the options, static entries and VLANs of ports for when a port has left the bridge and returns, and which of
 * the options are virlan's. Returns why that failed, as `recordOriginal` does.
 */
function recordPorts({
  network: { bridge },
  desired,
  observed: { taps, bridgeVlans },
}: Pick<OwnSurvey, 'network' | 'desired' | 'observed'>): Error | null {
  const applied = readApplied(bridge);
  const isOn = (tap: string) => taps.find(({ name }) => name === tap)?.options.hairpin === true;
  const reflecting = desired.taps
    .filter(({ name, hairpin }) => {
      const isKnown = applied.reflecting.includes(name);
      return hairpin === 'on' ? isKnown || !isOn(name) : isKnown && isOn(name);
    })
    .map(({ name }) => name);
  const changed = taps.filter(({ options }) => Object.keys(options).length > 0);
  const ports = Object.fromEntries(changed.map(({ name, options }) => [name, options]));
  const known = taps.filter(tap => tap.entries.length > 0);
  const entries = Object.fromEntries(
    known.map(({ name, entries: own }) => [name, own.map(entry => ({ ...entry }))]),
  );
  const vlans = bridgeVlans === null ? null : recordedVlans(bridge, bridgeVlans, taps);
  const { ports: oldPorts, entries: oldEntries, vlans: oldVlans, reflecting: old } = applied;
  if (isDeepStrictEqual([ports, entries, vlans, reflecting], [oldPorts, oldEntries, oldVlans, old]))
    return null;
  return failureOf(() => writeApplied(bridge, { ...applied, ports, entries, vlans, reflecting }));
}

function recordedVlans(
  bridge: string,
  { defaultVlan, own }: NonNullable<ObservedNetwork['bridgeVlans']>,
  taps: readonly TapState[],
): AppliedRecord['vlans'] {
  const known = taps.flatMap(({ name, vlans }) => (vlans === null ? [] : [[name, vlans] as const]));
  const byLink = [[bridge, own] as const, ...known].map(([link, vlans]) => [
    link,
    vlans.map(vlan => ({ ...vlan })),
  ]);
  return { defaultVlan, byLink: Object.fromEntries(byLink) };
}

/**
 * Records which link the running dnsmasq has bound its sockets to, unless that is known. A process that virlan has
 * not started, such as one that systemd has, was started for the bridge that there is. Throws WriteError.
 */
export function recordDnsmasq(bridge: string, pid: number | null): void {
  const linkIndex = Number(readFileOrNull(`/sys/class/net/${bridge}/ifindex`));
  const applied = readApplied(bridge);
  if (pid === null || linkIndex === 0 || applied.dnsmasq?.pid === pid) return;
  writeApplied(bridge, { ...applied, dnsmasq: { pid, linkIndex } });
}

/** Returns whether a change without a record would lose what somebody else made. */
export function wouldLose(survey: OwnSurvey): boolean {
  const { link, dnsmasq } = others(survey);
  const isKnown = recordedNetwork(survey.network.bridge) !== null;
  return !isKnown && (link !== null || dnsmasq.conf !== null);
}

/** Removes the records of a bridge. Returns the reasons why that failed. */
export function removeRecords(bridge: string): (Error | null)[] {
  return [removeApplied, removeOriginalState, removeForwardsRecord].map(remove =>
    failureOf(() => remove(bridge)),
  );
}

/** Returns a warning for each error, and for each file or directory that cannot be written or removed. */
export function recordWarnings(
  kind: 'not-recorded' | 'record-left',
  failures: readonly (Error | null)[],
): NetworkWarning[] {
  const errors = failures.filter(error => error !== null);
  const isFirst = (error: Error, index: number) =>
    !(error instanceof WriteError) ||
    !errors.slice(0, index).some(other => other instanceof WriteError && other.path === error.path);
  return errors.filter(isFirst).map(error => ({ kind, error }));
}

/** Returns the refusals that are new; a record that cannot be written lets them be logged again. */
export function recordForwardsOf({ network, forwards }: OwnSurvey): readonly RefusedForward[] {
  if (forwards === null) return [];
  try {
    return recordForwards(network.bridge, forwards);
  } catch {
    return forwards.refused;
  }
}

export function failureOf(work: () => void): Error | null {
  try {
    work();
    return null;
  } catch (error) {
    return error as Error;
  }
}

/** Returns what was there before virlan. What has its marks was made while nothing could be written. */
function additionOf(host: HostSurvey, survey: OwnSurvey): Addition {
  const { network, observed } = survey;
  const { link, dummy, dnsmasq } = others(survey);
  const isAtWork = observed.link !== null && link === null;
  return {
    host: withoutOwnSettings(withConsequences(host), isAtWork),
    bridge: network.bridge,
    network: {
      name: network.name,
      boot: bootId(),
      link: link === null ? null : { ...link, addresses: [...link.addresses] },
      dummy: dummy === null ? null : { ...dummy },
      sysctls: link === null ? {} : Object.fromEntries(observed.sysctls),
      dnsmasq: { conf: dnsmasq.conf, running: dnsmasq.pid !== null },
    },
  };
}

function others({ network, observed }: OwnSurvey): Objects {
  return withoutOwn(observed, { ...network, machineId: machineId() });
}
