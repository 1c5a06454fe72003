// The table of procedures and events, by their names in libvirt's src/remote/remote_protocol.x, with their
// numbers and structures. Both are the same in libvirt 9.0.0 and 11.3.0: existing ones do not change, new
// ones get new numbers (libvirt's own test of that is src/remote_protocol-structs).

import {
  array,
  type Codec,
  int,
  nothing,
  optional,
  string,
  struct,
  uhyper,
  uint,
  uuid,
  type ValueOf,
} from './codec.ts';

/** REMOTE_PROGRAM and REMOTE_PROTOCOL_VERSION */
export const remoteProgram = 0x20008086;
export const remoteVersion = 1;

/**
 * KEEPALIVE_PROGRAM and KEEPALIVE_PROTOCOL_VERSION (src/rpc/virkeepaliveprotocol.x), and its two procedures.
 */
export const keepaliveProgram = 0x6b656570;
export const keepaliveVersion = 1;
export const keepalivePing = 1;
export const keepalivePong = 2;

/** A domain: a virtual machine (remote_nonnull_domain). */
export interface Domain {
  readonly name: string;
  readonly uuid: string;
  /** A number while the domain runs; -1 otherwise. */
  readonly id: number;
}

/** A virtual network (remote_nonnull_network). */
export interface Network {
  readonly name: string;
  readonly uuid: string;
}

const domain: Codec<Domain> = struct({ name: string, uuid, id: int });
const network: Codec<Network> = struct({ name: string, uuid });

/** REMOTE_DOMAIN_LIST_MAX and REMOTE_NETWORK_LIST_MAX */
const listMax = 16384;

/** REMOTE_AUTH_TYPE_LIST_MAX */
const authTypeListMax = 20;

/** virNetMessageError: the payload of a reply with the status ERROR. */
export const remoteError = struct({
  code: int,
  domain: int,
  message: optional(string),
  level: int,
  dom: optional(domain),
  str1: optional(string),
  str2: optional(string),
  str3: optional(string),
  int1: int,
  int2: int,
  net: optional(network),
});

/** A procedure with the types of its arguments and its reply. */
export interface Procedure<A, R> {
  readonly number: number;
  readonly args: Codec<A>;
  readonly reply: Codec<R>;
}

function procedure<A, R>(number: number, args: Codec<A>, reply: Codec<R>): Procedure<A, R> {
  return { number, args, reply };
}

const ofDomain = struct({ dom: domain });
const ofDomainWithFlags = struct({ dom: domain, flags: uint });
const ofNetwork = struct({ net: network });
const ofNetworkWithFlags = struct({ net: network, flags: uint });
const listArgs = struct({ need_results: int, flags: uint });

/** The procedures. */
export const procedures = {
  REMOTE_PROC_CONNECT_OPEN: procedure(1, struct({ name: optional(string), flags: uint }), nothing),
  REMOTE_PROC_CONNECT_CLOSE: procedure(2, nothing, nothing),
  REMOTE_PROC_DOMAIN_GET_XML_DESC: procedure(14, ofDomainWithFlags, struct({ xml: string })),
  REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME: procedure(23, struct({ name: string }), ofDomain),
  REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID: procedure(24, struct({ uuid }), ofDomain),
  REMOTE_PROC_NETWORK_CREATE: procedure(39, ofNetwork, nothing),
  REMOTE_PROC_NETWORK_DEFINE_XML: procedure(41, struct({ xml: string }), ofNetwork),
  REMOTE_PROC_NETWORK_DESTROY: procedure(42, ofNetwork, nothing),
  REMOTE_PROC_NETWORK_GET_XML_DESC: procedure(43, ofNetworkWithFlags, struct({ xml: string })),
  REMOTE_PROC_NETWORK_GET_AUTOSTART: procedure(44, ofNetwork, struct({ autostart: int })),
  REMOTE_PROC_NETWORK_GET_BRIDGE_NAME: procedure(45, ofNetwork, struct({ name: string })),
  REMOTE_PROC_NETWORK_LOOKUP_BY_NAME: procedure(46, struct({ name: string }), ofNetwork),
  REMOTE_PROC_NETWORK_SET_AUTOSTART: procedure(48, struct({ net: network, autostart: int }), nothing),
  REMOTE_PROC_NETWORK_UNDEFINE: procedure(49, ofNetwork, nothing),
  REMOTE_PROC_CONNECT_SUPPORTS_FEATURE: procedure(60, struct({ feature: int }), struct({ supported: int })),
  REMOTE_PROC_AUTH_LIST: procedure(66, nothing, struct({ types: array(int, authTypeListMax) })),
  REMOTE_PROC_AUTH_POLKIT: procedure(70, nothing, struct({ complete: int })),
  REMOTE_PROC_DOMAIN_IS_ACTIVE: procedure(150, ofDomain, struct({ active: int })),
  REMOTE_PROC_DOMAIN_IS_PERSISTENT: procedure(151, ofDomain, struct({ persistent: int })),
  REMOTE_PROC_NETWORK_IS_ACTIVE: procedure(152, ofNetwork, struct({ active: int })),
  REMOTE_PROC_NETWORK_IS_PERSISTENT: procedure(153, ofNetwork, struct({ persistent: int })),
  REMOTE_PROC_CONNECT_GET_LIB_VERSION: procedure(157, nothing, struct({ lib_ver: uhyper })),
  REMOTE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE: procedure(183, ofDomainWithFlags, struct({ result: int })),
  REMOTE_PROC_DOMAIN_GET_STATE: procedure(212, ofDomainWithFlags, struct({ state: int, reason: int })),
  REMOTE_PROC_DOMAIN_SET_METADATA: procedure(
    264,
    struct({
      dom: domain,
      type: int,
      metadata: optional(string),
      key: optional(string),
      uri: optional(string),
      flags: uint,
    }),
    nothing,
  ),
  REMOTE_PROC_DOMAIN_GET_METADATA: procedure(
    265,
    struct({ dom: domain, type: int, uri: optional(string), flags: uint }),
    struct({ metadata: string }),
  ),
  REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS: procedure(
    273,
    listArgs,
    struct({ domains: array(domain, listMax), ret: uint }),
  ),
  REMOTE_PROC_CONNECT_LIST_ALL_NETWORKS: procedure(
    283,
    listArgs,
    struct({ nets: array(network, listMax), ret: uint }),
  ),
  REMOTE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY: procedure(
    313,
    struct({ eventID: int, net: optional(network) }),
    struct({ callbackID: int }),
  ),
  REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: procedure(
    316,
    struct({ eventID: int, dom: optional(domain) }),
    struct({ callbackID: int }),
  ),
  REMOTE_PROC_DOMAIN_DEFINE_XML_FLAGS: procedure(350, struct({ xml: string, flags: uint }), ofDomain),
} as const;

/** The name of a procedure. */
export type ProcedureName = keyof typeof procedures;

/** The arguments of a procedure. */
export type ArgsOf<N extends ProcedureName> = ValueOf<(typeof procedures)[N]['args']>;

/** The reply of a procedure. */
export type ReplyOf<N extends ProcedureName> = ValueOf<(typeof procedures)[N]['reply']>;

/**
 * Returns an entry of the table with the types of that procedure, which an access by a type parameter would
 * lose.
 */
export function procedureOf<N extends ProcedureName>(name: N): Procedure<ArgsOf<N>, ReplyOf<N>> {
  const table: { [K in ProcedureName]: Procedure<ArgsOf<K>, ReplyOf<K>> } = procedures;
  return table[name];
}

/** Calls one procedure of the table. */
export type Call = <N extends ProcedureName>(name: N, args: ArgsOf<N>) => Promise<ReplyOf<N>>;

/** A driver of libvirt that this package uses. Modular daemons serve one each. */
export type Driver = 'domain' | 'network';

/** An event with the type of its message. */
export interface RemoteEvent<M> {
  readonly number: number;
  readonly driver: Driver;
  /** The virDomainEventID or virNetworkEventID to register for. */
  readonly eventId: number;
  readonly message: Codec<M>;
}

function event<M>(number: number, driver: Driver, eventId: number, message: Codec<M>): RemoteEvent<M> {
  return { number, driver, eventId, message };
}

const device = struct({ callbackID: int, dom: domain, devAlias: string });

/** The events. */
export const remoteEvents = {
  REMOTE_PROC_NETWORK_EVENT_LIFECYCLE: event(
    315,
    'network',
    0,
    struct({ callbackID: int, net: network, event: int, detail: int }),
  ),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE: event(
    318,
    'domain',
    0,
    struct({ callbackID: int, dom: domain, event: int, detail: int }),
  ),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED: event(333, 'domain', 15, device),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED: event(354, 'domain', 19, device),
  REMOTE_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE: event(
    379,
    'domain',
    23,
    struct({ callbackID: int, dom: domain, type: int, nsuri: optional(string) }),
  ),
} as const;

/** The name of an event in remote_protocol.x. */
export type RemoteEventName = keyof typeof remoteEvents;

/** The message of an event. */
export type MessageOf<N extends RemoteEventName> = ValueOf<(typeof remoteEvents)[N]['message']>;

/** Returns an entry of the table with the type of that event, as `procedureOf`. */
export function remoteEventOf<N extends RemoteEventName>(name: N): RemoteEvent<MessageOf<N>> {
  const table: { [K in RemoteEventName]: RemoteEvent<MessageOf<K>> } = remoteEvents;
  return table[name];
}

/** Returns the events of the given drivers. */
export function eventsOf(drivers: readonly Driver[]): readonly RemoteEventName[] {
  const names = Object.keys(remoteEvents) as RemoteEventName[];
  return names.filter(name => drivers.includes(remoteEvents[name].driver));
}
