// Events: everything that is logged, as values. Hooks, the watcher and commands produce events; log-line.ts
// makes text from them, and the watcher's metrics and probes act on them.

import type { Notice } from 'node-libvirt';
import type { Mac } from '../address/mac.ts';
import type { PeerReport } from '../cluster/peer.ts';
import type { Endpoint } from '../config/config.ts';
import type { ProbeResult } from '../diagnosis/probe/result.ts';
import type { RefusedForward } from '../forwards/problem.ts';
import type { ReserveEvent } from '../identity/reserve.ts';
import type { LibvirtNetworkProblem, NetworkAction } from '../libvirt-networks/decide.ts';
import type { FailedStep } from '../network/executors/step-groups.ts';
import type { Step } from '../network/steps/steps.ts';
import type { Fight, Unit } from '../network/steps/units.ts';
import type { NetworkWarning } from '../network/warnings/warnings.ts';
import type { InotifySysctl } from '../system/inotify.ts';

/** A machine as a log names it. */
export interface MachineId {
  readonly name: string;
  readonly uuid: string;
}

export type NetworkEvent =
  /** Steps took effect: at `up` or a daemon's start, in a repair, at `down`. */
  | {
      readonly kind: 'network-established' | 'network-repaired' | 'network-taken-down';
      readonly network: string;
      readonly done: readonly Step[];
      /** Repair units that `done` belongs to. */
      readonly units: readonly Unit[];
    }
  | { readonly kind: 'step-failed'; readonly network: string; readonly failed: FailedStep }
  | { readonly kind: 'network-failed'; readonly network: string; readonly error: Error }
  /** Forwards of machines came into force, or ended. */
  | { readonly kind: 'forwards-changed'; readonly network: string; readonly done: readonly Step[] }
  /** A forward is not active. */
  | { readonly kind: 'forward-refused'; readonly network: string; readonly refused: RefusedForward }
  | { readonly kind: 'network-warning'; readonly network: string; readonly warning: NetworkWarning }
  /** A dnsmasq that did not answer was ended, to be started again. */
  | { readonly kind: 'dnsmasq-silent'; readonly network: string; readonly pid: number }
  | { readonly kind: 'unit-left-alone'; readonly network: string; readonly fight: Fight };

export type MachineEvent =
  | { readonly kind: 'reservation'; readonly event: ReserveEvent }
  | {
      readonly kind: 'reservation-failed';
      readonly network: string;
      readonly machine: MachineId;
      readonly error: Error;
    }
  /** The machine runs, and its frames are not looked at. */
  | {
      readonly kind: 'guard-failed';
      readonly network: string;
      readonly machine: MachineId;
      readonly error: Error;
    }
  /** No dnsmasq runs that could be told of a reservation. */
  | { readonly kind: 'dnsmasq-missing'; readonly network: string; readonly machine: MachineId }
  /** Another host of the cluster has taken over a machine of this one. */
  | {
      readonly kind: 'machine-moved';
      readonly network: string;
      readonly machine: MachineId;
      readonly host: string;
    }
  | { readonly kind: 'reservation-retired'; readonly network: string; readonly machine: MachineId }
  /** MACs were written into the machine's definition. */
  | {
      readonly kind: 'macs-assigned';
      readonly machine: MachineId;
      readonly macs: readonly Mac[];
      /** The MAC that each of `macs` replaced. */
      readonly was: readonly Mac[];
    }
  /** The machine was started before its MAC could be assigned: it keeps its own. */
  | { readonly kind: 'mac-assigned-too-late'; readonly machine: MachineId }
  | { readonly kind: 'mac-refused-by-libvirt'; readonly machine: MachineId; readonly error: Error }
  | { readonly kind: 'machine-failed'; readonly machine: MachineId; readonly error: Error };

export type LibvirtNetworkEvent =
  | { readonly kind: 'libvirt-network-changed'; readonly action: NetworkAction }
  | {
      readonly kind: 'libvirt-network-in-use';
      readonly problem: Extract<LibvirtNetworkProblem, { kind: 'network-in-use' }>;
    }
  | { readonly kind: 'default-autostart-removed' }
  | { readonly kind: 'default-autostart-failed'; readonly error: Error };

/** A failure that no other event describes; `during` names what was attempted. */
export interface FailureEvent {
  readonly kind: 'failed';
  readonly during: 'hook' | 'libvirt-event' | 'reconcile' | 'libvirt-networks' | 'file-change';
  readonly error: Error;
  readonly machine?: string;
  readonly path?: string;
}

/** The reason why metrics are not served at the endpoint in virlan.ini. */
export interface MetricsProblem {
  readonly endpoint: Endpoint;
  readonly error: NodeJS.ErrnoException;
}

/** The life of the watcher. */
export type WatcherEvent =
  /** The watcher's socket was removed or replaced, and serves again. */
  | { readonly kind: 'socket-restored'; readonly path: string }
  /** inotify is used up: a file, or the files of a directory, are looked at from time to time instead. */
  | { readonly kind: 'files-polled'; readonly path: string; readonly limit: InotifySysctl }
  /** inotify has room again. */
  | { readonly kind: 'files-followed'; readonly path: string }
  | { readonly kind: 'watcher-started'; readonly networks: readonly string[] }
  | { readonly kind: 'watcher-stopped' }
  | { readonly kind: 'libvirt-connected'; readonly socket: string }
  | { readonly kind: 'libvirt-disconnected'; readonly socket: string; readonly error: Error }
  | { readonly kind: 'libvirt-notice'; readonly notice: Notice }
  | { readonly kind: 'configuration-applied' }
  /** The configuration read before stays in force. */
  | { readonly kind: 'configuration-rejected'; readonly error: Error }
  | { readonly kind: 'metrics-not-served'; readonly problem: MetricsProblem }
  /** A program that reports changes of the kernel ended or is missing. */
  | { readonly kind: 'monitor-failed'; readonly error: Error }
  | { readonly kind: 'probed'; readonly network: string; readonly result: ProbeResult }
  /** Another host of the cluster answers in another way than before, or was asked for the first time. */
  | { readonly kind: 'peer-changed'; readonly network: string; readonly report: PeerReport }
  /** This host shares its ledger of a network by etcd. */
  | { readonly kind: 'etcd-connected'; readonly network: string; readonly endpoint: string }
  /** It does not, and why. */
  | { readonly kind: 'etcd-lost'; readonly network: string; readonly error: Error };

export type Event = NetworkEvent | MachineEvent | LibvirtNetworkEvent | WatcherEvent | FailureEvent;
