// Events in the form in which listeners receive them, decoded from the messages of remote_protocol.x.

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
 * virDomainEventType and, for each, the virDomainEvent…DetailType (include/libvirt/libvirt-domain.h), both in
 * the order of their numbers.
 */
const domainLifecycles = {
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
const networkLifecycles = ['defined', 'undefined', 'started', 'stopped'] as const;

type DomainLifecycles = typeof domainLifecycles;

/**
 * The state or the definition of a domain changed. `event` is a virDomainEventType, `detail` its
 * virDomainEvent…DetailType; numbers that a newer libvirt has added are 'unknown'.
 */
export type DomainLifecycleEvent =
  | {
      [E in keyof DomainLifecycles]: {
        readonly kind: 'domain-lifecycle';
        readonly domain: Domain;
        readonly event: E;
        readonly detail: DomainLifecycles[E][number] | 'unknown';
      };
    }[keyof DomainLifecycles]
  | {
      readonly kind: 'domain-lifecycle';
      readonly domain: Domain;
      readonly event: 'unknown';
      readonly detail: 'unknown';
    };

/**
 * A device was added to a running domain or removed from it; `alias` is its alias in the XML of that domain.
 */
export interface DeviceEvent {
  readonly kind: 'device-added' | 'device-removed';
  readonly domain: Domain;
  readonly alias: string;
}

/** Metadata of a domain changed. `uri` is the XML namespace of an element, null for title and description. */
export interface MetadataChangeEvent {
  readonly kind: 'metadata-change';
  readonly domain: Domain;
  /** A virDomainMetadataType, see `MetadataType`. */
  readonly metadataType: number;
  readonly uri: string | null;
}

/** The state or the definition of a network changed. */
export interface NetworkLifecycleEvent {
  readonly kind: 'network-lifecycle';
  readonly network: Network;
  readonly event: (typeof networkLifecycles)[number] | 'unknown';
}

/** An event of libvirt, told apart by `kind`. */
export type LibvirtEvent = DomainLifecycleEvent | DeviceEvent | MetadataChangeEvent | NetworkLifecycleEvent;

const domainLifecycleNames = Object.keys(domainLifecycles) as (keyof DomainLifecycles)[];

function domainLifecycle(domain: Domain, number: number, detail: number): DomainLifecycleEvent {
  const event = domainLifecycleNames[number];
  if (event === undefined) return { kind: 'domain-lifecycle', domain, event: 'unknown', detail: 'unknown' };
  // The compiler cannot see that event and detail are from the same entry.
  return {
    kind: 'domain-lifecycle',
    domain,
    event,
    detail: domainLifecycles[event][detail] ?? 'unknown',
  } as DomainLifecycleEvent;
}

const converters: { [N in RemoteEventName]: (message: MessageOf<N>) => LibvirtEvent } = {
  REMOTE_PROC_NETWORK_EVENT_LIFECYCLE: ({ net, event }) => ({
    kind: 'network-lifecycle',
    network: net,
    event: networkLifecycles[event] ?? 'unknown',
  }),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE: ({ dom, event, detail }) =>
    domainLifecycle(dom, event, detail),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED: ({ dom, devAlias }) => ({
    kind: 'device-removed',
    domain: dom,
    alias: devAlias,
  }),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED: ({ dom, devAlias }) => ({
    kind: 'device-added',
    domain: dom,
    alias: devAlias,
  }),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE: ({ dom, type, nsuri }) => ({
    kind: 'metadata-change',
    domain: dom,
    metadataType: type,
    uri: nsuri,
  }),
};

/** A decoded event whose callback ID is not checked yet. */
export interface Arrival {
  readonly name: RemoteEventName;
  readonly callbackId: number;
  readonly event: LibvirtEvent;
}

const eventNames = new Map(
  (Object.keys(remoteEvents) as RemoteEventName[]).map(name => [remoteEvents[name].number, name]),
);

function decodeAs<N extends RemoteEventName>(name: N, payload: Buffer): Arrival {
  const message = decode(remoteEventOf(name).message, payload);
  return { name, callbackId: message.callbackID, event: converters[name](message) };
}

/**
 * Decodes the event with this procedure number; null if the number is not in the table.
 *
 * @throws XdrError if the payload does not decode
 */
export function decodeEvent(procedure: number, payload: Buffer): Arrival | null {
  const name = eventNames.get(procedure);
  return name === undefined ? null : decodeAs(name, payload);
}
