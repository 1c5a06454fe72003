// The texts of the log: the only place that makes log lines from events. Pure.
import { formatIp } from '../address/ip.ts';
import type { PeerReport } from '../cluster/peer.ts';
import type { Finding } from '../diagnosis/finding.ts';
import { findingOfPeer } from '../diagnosis/peer-finding.ts';
import type { ProbeResult } from '../diagnosis/probe/result.ts';
import { seen } from '../diagnosis/words/words.ts';
import { forwardProblemText } from '../forwards/problem-text.ts';
import { problemText, refusedAliasText } from '../identity/problem-text.ts';
import type { ReserveEvent } from '../identity/reserve.ts';
import { actionFields, libvirtNetworkProblemText } from '../libvirt-networks/words.ts';
import { describeStep } from '../network/steps/steps.ts';
import type { Fight } from '../network/steps/units.ts';
import { isoSeconds } from '../text.ts';
import type { Event, FailureEvent, MachineId, MetricsProblem } from './event.ts';
import {
  failure,
  info,
  type LogLine,
  reservationFields,
  reservationLine,
  warning,
  withCode,
} from './log-text.ts';
import { unitText } from './unit-text.ts';
import { warningText } from './warning-text.ts';

/** Returns the log line of an event. */
export function logLine(event: Event): LogLine {
  return withCode(event.kind, lineOf(event));
}

/** The table of texts: one case for each kind of event. */
function lineOf(event: Event): LogLine {
  switch (event.kind) {
    case 'network-established':
      return info('network established', { network: event.network, steps: event.done.map(describeStep) });
    case 'network-repaired':
      return info('network repaired', {
        network: event.network,
        missing: event.units.map(unitText),
        steps: event.done.map(describeStep),
      });
    case 'network-taken-down':
      return info('network taken down', { network: event.network, steps: event.done.map(describeStep) });
    case 'step-failed':
      return ofNetwork(event.network, event.failed.error.message);
    case 'network-failed':
      return ofNetwork(event.network, event.error.message);
    case 'network-warning':
      return ofNetwork(event.network, warningText(event.warning));
    case 'forwards-changed':
      return info('forwards changed', { network: event.network, steps: event.done.map(describeStep) });
    case 'forward-refused': {
      const { network, refused } = event;
      return warning(forwardProblemText(refused.problem), { network, ...machineFields(refused.machine) });
    }
    case 'unit-left-alone':
      return ofNetwork(event.network, fightText(event.fight));
    case 'etcd-connected':
      return info(`shares its ledger of ${event.network} by etcd at ${event.endpoint}`, {
        network: event.network,
        endpoint: event.endpoint,
      });
    case 'etcd-lost':
      return failure(`no etcd for ${event.network}: ${event.error.message}`, { network: event.network });
    case 'machine-moved':
      return info(`machine moved to host ${event.host}`, {
        network: event.network,
        host: event.host,
        ...machineFields(event.machine),
      });
    case 'peer-changed':
      return peerLine(event.network, event.report);
    case 'reservation':
      return reserveLine(event.event);
    case 'reservation-failed': {
      const { network, machine, error } = event;
      const message = `no reservation for ${JSON.stringify(machine.name)} on ${network}: ${error.message}`;
      return failure(message, { network, machine: machine.name, uuid: machine.uuid });
    }
    case 'guard-failed': {
      const { network, machine, error } = event;
      const message = `${JSON.stringify(machine.name)} is not guarded on ${network}: ${error.message}`;
      return failure(message, { network, machine: machine.name, uuid: machine.uuid });
    }
    case 'dnsmasq-missing':
      return failure('no dnsmasq runs that could be told of the reservation', {
        network: event.network,
        machine: event.machine.name,
      });
    case 'dnsmasq-silent':
      return failure('dnsmasq did not answer and was ended; it is started again', {
        network: event.network,
        pid: event.pid,
      });
    case 'reservation-retired':
      return info('reservation retired', { network: event.network, ...machineFields(event.machine) });
    case 'macs-assigned':
      return info('MAC assigned', { ...machineFields(event.machine), macs: event.macs, was: event.was });
    case 'mac-assigned-too-late': {
      const message = 'started before its MAC could be assigned: it keeps its own';
      return info(message, machineFields(event.machine));
    }
    case 'mac-refused-by-libvirt': {
      const message = `it keeps its MAC, because libvirt refuses another: ${event.error.message}`;
      return failure(message, machineFields(event.machine));
    }
    case 'machine-failed':
      return failure(`machine not reconciled: ${event.error.message}`, machineFields(event.machine));
    case 'libvirt-network-changed':
      return info('libvirt network', { action: actionFields(event.action) });
    case 'libvirt-network-in-use':
      return warning(libvirtNetworkProblemText(event.problem), { libvirtNetwork: event.problem.name });
    case 'default-autostart-removed':
      return info("libvirt's default network does not start any more", {});
    case 'default-autostart-failed':
      return failure(`libvirt's default network: ${event.error.message}`, {});
    case 'socket-restored':
      return warning('the socket of the watcher was removed or replaced: it serves again', {
        path: event.path,
      });
    case 'files-polled': {
      const { path, limit } = event;
      return warning(`changes are noticed after some seconds, because inotify is used up: raise ${limit}`, {
        path,
        limit,
      });
    }
    case 'files-followed':
      return info('inotify has room again: changes are noticed at once', { path: event.path });
    case 'watcher-started':
      return info('watching', { networks: event.networks });
    case 'watcher-stopped':
      return info('watcher ends; the network stays', {});
    case 'libvirt-connected':
      return info('libvirt connected', { socket: event.socket });
    case 'libvirt-disconnected':
      return warning(`libvirt disconnected: ${event.error.message}`, { socket: event.socket });
    case 'libvirt-notice':
      return warning('libvirt', { notice: event.notice });
    case 'configuration-applied':
      return info('configuration read', {});
    case 'configuration-rejected':
      return failure(`${event.error.message}; the configuration read before stays in force`, {});
    case 'metrics-not-served':
      return warning(metricsProblemText(event.problem), {});
    case 'monitor-failed':
      return warning(`changes by other programs are noticed late: ${event.error.message}`, {});
    case 'probed':
      return probeLine(event.network, event.result);
    case 'failed':
      return failureLine(event);
  }
}

/** Describes a fight in one line. */
export function fightText({ unit, since, until }: Fight): string {
  return `${unitText(unit)} had to be repaired again and again since ${isoSeconds(since)}: left alone until ${isoSeconds(until)}; find out what changes it`;
}

/**
 * Returns the line of a probe, with the stages that it tested: without an uplink a machine reaches only the
 * host.
 */
function probeLine(network: string, result: ProbeResult): LogLine {
  if (result.kind !== 'passed') return warning(`probe: ${seen(result.detail)}`, { network });
  const { outside, warnings } = result;
  const passed =
    outside === null
      ? 'a machine gets its lease, names and the outside'
      : `a machine gets its lease and names; the outside was ${outsideText(outside)}`;
  return info(`probe: ${[passed, ...warnings.map(detail => seen(detail))].join('; ')}`, { network });
}

function peerLine(network: string, report: PeerReport): LogLine {
  const { state, detail } = findingOfPeer(report, { network, macs: 0 });
  const fields = { network, peer: formatIp(report.peer), answer: report.answer };
  return state === 'ok' ? info(`${fields.peer} answers`, fields) : warning(seen(detail), fields);
}

function outsideText({ state, detail }: Finding): string {
  return `${state === 'skipped' ? 'not tested' : 'not confirmed'}: ${seen(detail)}`;
}

function machineFields({ name, uuid }: MachineId): LogLine['fields'] {
  return { machine: name, uuid };
}

const attempts: Readonly<Record<FailureEvent['during'], string | null>> = {
  hook: null,
  'libvirt-event': 'reaction to an event of libvirt failed',
  reconcile: 'reconciliation failed',
  'libvirt-networks': "libvirt's networks",
  'file-change': null,
};

function failureLine({ during, error, machine, path }: FailureEvent): LogLine {
  const attempt = attempts[during];
  const message = attempt === null ? error.message : `${attempt}: ${error.message}`;
  return failure(message, {
    ...(machine === undefined ? {} : { machine }),
    ...(path === undefined ? {} : { path }),
  });
}

function ofNetwork(network: string, message: string): LogLine {
  return failure(`network ${network}: ${message}`, { network });
}

/** Says where metrics are not served, and why. */
export function metricsProblemText({ endpoint: { address, port }, error }: MetricsProblem): string {
  const place = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  return `metrics are not served at ${place}: ${error.message}; it is tried again: see metrics in virlan.ini`;
}

function reserveLine(event: ReserveEvent): LogLine {
  switch (event.kind) {
    case 'reserved':
    case 'changed':
      return reservationLine(event);
    case 'alias-refused':
      return warning(refusedAliasText(event.refused), reservationFields(event));
    case 'problem':
      return warning(problemText(event.problem), reservationFields(event));
  }
}
