// Everything that happens and is worth a log line, as values. Hooks, the watcher and commands produce events; log-line.ts
// makes text from them, and the watcher's metrics and probes act on them.

import type { Notice } from 'node-libvirt';
import type { ReserveEvent } from '../identity/reserve.ts';
import type { NetworkAction } from '../libvirt-networks/decide.ts';
import type { FailedStep } from '../network/apply.ts';
import type { Step } from '../network/steps.ts';
import type { Fight, Unit } from '../network/units.ts';
import type { NetworkWarning } from '../network/warnings.ts';
import type { ProbeStatus } from './status.ts';

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
  | { readonly kind: 'network-warning'; readonly network: string; readonly warning: NetworkWarning }
  | { readonly kind: 'unit-left-alone'; readonly network: string; readonly fight: Fight };

export type MachineEvent =
  | { readonly kind: 'reservation'; readonly event: ReserveEvent }
  | {
      readonly kind: 'reservation-failed';
      readonly network: string;
      readonly machine: MachineId;
      readonly error: Error;
    }
  /** No dnsmasq runs to learn of a reservation. */
  | { readonly kind: 'dnsmasq-missing'; readonly network: string; readonly machine: MachineId };

export type LibvirtNetworkEvent =
  | { readonly kind: 'libvirt-network-changed'; readonly action: NetworkAction }
  | { readonly kind: 'default-autostart-removed' }
  | { readonly kind: 'default-autostart-failed'; readonly error: Error };

/** Something failed that no other event describes; `during` says what was attempted. */
export interface FailureEvent {
  readonly kind: 'failed';
  readonly during: 'hook' | 'libvirt-event' | 'reconcile' | 'libvirt-networks' | 'file-change';
  readonly error: Error;
  readonly machine?: string;
  readonly path?: string;
}

/** The life of the watcher. */
export type WatcherEvent =
  | { readonly kind: 'watcher-started'; readonly networks: readonly string[] }
  | { readonly kind: 'watcher-stopped' }
  | { readonly kind: 'libvirt-connected'; readonly socket: string }
  | { readonly kind: 'libvirt-disconnected'; readonly socket: string; readonly error: Error }
  | { readonly kind: 'libvirt-notice'; readonly notice: Notice }
  | { readonly kind: 'configuration-applied' }
  /** The configuration read before stays in force. */
  | { readonly kind: 'configuration-rejected'; readonly error: Error }
  /** A program that reports changes of the kernel ended or is missing. */
  | { readonly kind: 'monitor-failed'; readonly error: Error }
  | { readonly kind: 'probed'; readonly network: string; readonly status: ProbeStatus };

export type Event = NetworkEvent | MachineEvent | LibvirtNetworkEvent | WatcherEvent | FailureEvent;
