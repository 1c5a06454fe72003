// Events as the users of this library see them, made from what remote_protocol.x sends.

import { decode } from './codec.ts';
import {
  type Domain,
  type MessageOf,
  type Network,
  type RemoteEventName,
  remoteEventOf,
  remoteEvents,
} from './procedures.ts';

/**
 * virDomainEventType and, for each, the virDomainEvent…DetailType (include/libvirt/libvirt-domain.h), both in the order
 * of their numbers.
 */
const DOMAIN_LIFECYCLE = {
  defined: ['added', 'updated', 'renamed', 'from-snapshot'],
  undefined: ['removed', 'renamed'],
  started: ['booted', 'migrated', 'restored', 'from-snapshot', 'wakeup'],
  suspended: [
    'paused',
    'migrated',
    'ioerror',
    'watchdog',
    'restored',
    'from-snapshot',
    'api-error',
    'postcopy',
    'postcopy-failed',
  ],
  resumed: ['unpaused', 'migrated', 'from-snapshot', 'postcopy', 'postcopy-failed'],
  stopped: ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from-snapshot'],
  shutdown: ['finished', 'guest', 'host'],
  pmsuspended: ['memory', 'disk'],
  crashed: ['panicked', 'crashloaded'],
} as const;

/** virNetworkEventLifecycleType */
const NETWORK_LIFECYCLE = ['defined', 'undefined', 'started', 'stopped'] as const;

type DomainLifecycle = typeof DOMAIN_LIFECYCLE;

/** Something happened to a domain. Numbers that a newer libvirt may have added are 'unknown'. */
export type DomainLifecycleEvent =
  | {
      [E in keyof DomainLifecycle]: {
        readonly type: 'domain-lifecycle';
        readonly domain: Domain;
        readonly event: E;
        readonly detail: DomainLifecycle[E][number] | 'unknown';
      };
    }[keyof DomainLifecycle]
  | {
      readonly type: 'domain-lifecycle';
      readonly domain: Domain;
      readonly event: 'unknown';
      readonly detail: 'unknown';
    };

/** A device was plugged into a running domain, or is gone from it; the alias is that in the live XML. */
export interface DeviceEvent {
  readonly type: 'device-added' | 'device-removed';
  readonly domain: Domain;
  readonly alias: string;
}

/** Metadata of a domain changed; `uri` is the namespace for elements, null for title and description. */
export interface MetadataChangeEvent {
  readonly type: 'metadata-change';
  readonly domain: Domain;
  /** virDomainMetadataType, see `MetadataType`. */
  readonly metadataType: number;
  readonly uri: string | null;
}

/** Something happened to a network. */
export interface NetworkLifecycleEvent {
  readonly type: 'network-lifecycle';
  readonly network: Network;
  readonly event: (typeof NETWORK_LIFECYCLE)[number] | 'unknown';
}

export type LibvirtEvent = DomainLifecycleEvent | DeviceEvent | MetadataChangeEvent | NetworkLifecycleEvent;

const DOMAIN_LIFECYCLE_EVENTS = Object.keys(DOMAIN_LIFECYCLE) as (keyof DomainLifecycle)[];

const domainLifecycle = (domain: Domain, number: number, detail: number): DomainLifecycleEvent => {
  const event = DOMAIN_LIFECYCLE_EVENTS[number];
  if (event === undefined) return { type: 'domain-lifecycle', domain, event: 'unknown', detail: 'unknown' };
  // The compiler cannot follow that event and detail come from the same entry.
  return {
    type: 'domain-lifecycle',
    domain,
    event,
    detail: DOMAIN_LIFECYCLE[event][detail] ?? 'unknown',
  } as DomainLifecycleEvent;
};

const converters: { [N in RemoteEventName]: (message: MessageOf<N>) => LibvirtEvent } = {
  REMOTE_PROC_NETWORK_EVENT_LIFECYCLE: ({ net, event }) => ({
    type: 'network-lifecycle',
    network: net,
    event: NETWORK_LIFECYCLE[event] ?? 'unknown',
  }),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE: ({ dom, event, detail }) =>
    domainLifecycle(dom, event, detail),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED: ({ dom, devAlias }) => ({
    type: 'device-removed',
    domain: dom,
    alias: devAlias,
  }),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED: ({ dom, devAlias }) => ({
    type: 'device-added',
    domain: dom,
    alias: devAlias,
  }),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE: ({ dom, type, nsuri }) => ({
    type: 'metadata-change',
    domain: dom,
    metadataType: type,
    uri: nsuri,
  }),
};

/** One event as it came, before it is known whether its registration is this connection's. */
export interface Arrival {
  readonly name: RemoteEventName;
  readonly callbackId: number;
  readonly event: LibvirtEvent;
}

const eventNames = new Map(
  (Object.keys(remoteEvents) as RemoteEventName[]).map(name => [remoteEvents[name].number, name]),
);

const decodeAs = <N extends RemoteEventName>(name: N, payload: Buffer): Arrival => {
  const message = decode(remoteEventOf(name).message, payload);
  return { name, callbackId: message.callbackID, event: converters[name](message) };
};

/** Decodes the event with this procedure number; undefined if it is none of the table's. */
export const decodeEvent = (procedure: number, payload: Buffer): Arrival | undefined => {
  const name = eventNames.get(procedure);
  return name === undefined ? undefined : decodeAs(name, payload);
};
