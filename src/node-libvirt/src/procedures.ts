// The one table of what is spoken: each procedure and each event under its name in libvirt's
// src/remote/remote_protocol.x, with its number and its structures there. Numbers and structures are the same in
// libvirt 9.0.0 and 11.3.0: existing ones are not changed, new ones get new numbers (src/remote_protocol-structs is
// libvirt's own test of that).

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
export const REMOTE_PROGRAM = 0x20008086;
export const REMOTE_VERSION = 1;

/** KEEPALIVE_PROGRAM and KEEPALIVE_PROTOCOL_VERSION (src/rpc/virkeepaliveprotocol.x), and its two procedures. */
export const KEEPALIVE_PROGRAM = 0x6b656570;
export const KEEPALIVE_VERSION = 1;
export const KEEPALIVE_PROC_PING = 1;
export const KEEPALIVE_PROC_PONG = 2;

/** remote_nonnull_domain */
export interface Domain {
  readonly name: string;
  readonly uuid: string;
  /** Of the running machine; -1 for one that does not run. */
  readonly id: number;
}

/** remote_nonnull_network */
export interface Network {
  readonly name: string;
  readonly uuid: string;
}

const domain: Codec<Domain> = struct({ name: string, uuid, id: int });
const network: Codec<Network> = struct({ name: string, uuid });

/** REMOTE_DOMAIN_LIST_MAX and REMOTE_NETWORK_LIST_MAX */
const LIST_MAX = 16384;

/** REMOTE_AUTH_TYPE_LIST_MAX */
const AUTH_TYPE_LIST_MAX = 20;

/** virNetMessageError: what a reply carries instead of its structure if its status is ERROR. */
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

export interface Procedure<A, R> {
  readonly number: number;
  readonly args: Codec<A>;
  readonly reply: Codec<R>;
}

const procedure = <A, R>(number: number, args: Codec<A>, reply: Codec<R>): Procedure<A, R> => ({
  number,
  args,
  reply,
});

const ofDomain = struct({ dom: domain });
const ofDomainWithFlags = struct({ dom: domain, flags: uint });
const ofNetwork = struct({ net: network });
const ofNetworkWithFlags = struct({ net: network, flags: uint });
const listArgs = struct({ need_results: int, flags: uint });

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
  REMOTE_PROC_AUTH_LIST: procedure(66, nothing, struct({ types: array(int, AUTH_TYPE_LIST_MAX) })),
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
    struct({ domains: array(domain, LIST_MAX), ret: uint }),
  ),
  REMOTE_PROC_CONNECT_LIST_ALL_NETWORKS: procedure(
    283,
    listArgs,
    struct({ nets: array(network, LIST_MAX), ret: uint }),
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

export type ProcedureName = keyof typeof procedures;

/** What a procedure is called with. */
export type ArgsOf<N extends ProcedureName> = ValueOf<(typeof procedures)[N]['args']>;

/** What a procedure answers. */
export type ReplyOf<N extends ProcedureName> = ValueOf<(typeof procedures)[N]['reply']>;

/** An entry of the table, its types tied to its name; an access by a type parameter alone would lose that. */
export const procedureOf = <N extends ProcedureName>(name: N): Procedure<ArgsOf<N>, ReplyOf<N>> => {
  const table: { [K in ProcedureName]: Procedure<ArgsOf<K>, ReplyOf<K>> } = procedures;
  return table[name];
};

/** Calls one procedure of the table. */
export type Call = <N extends ProcedureName>(name: N, args: ArgsOf<N>) => Promise<ReplyOf<N>>;

/** The two halves of libvirt that are used; with modular daemons, each is one daemon's. */
export type Driver = 'domain' | 'network';

export interface RemoteEvent<M> {
  readonly number: number;
  readonly driver: Driver;
  /** virDomainEventID or virNetworkEventID: what to register for. */
  readonly eventId: number;
  readonly message: Codec<M>;
}

const event = <M>(number: number, driver: Driver, eventId: number, message: Codec<M>): RemoteEvent<M> => ({
  number,
  driver,
  eventId,
  message,
});

const device = struct({ callbackID: int, dom: domain, devAlias: string });

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

export type RemoteEventName = keyof typeof remoteEvents;

/** What an event carries. */
export type MessageOf<N extends RemoteEventName> = ValueOf<(typeof remoteEvents)[N]['message']>;

/** As `procedureOf`. */
export const remoteEventOf = <N extends RemoteEventName>(name: N): RemoteEvent<MessageOf<N>> => {
  const table: { [K in RemoteEventName]: RemoteEvent<MessageOf<K>> } = remoteEvents;
  return table[name];
};

/** The events of the given drivers. */
export const eventsOf = (drivers: readonly Driver[]): readonly RemoteEventName[] =>
  (Object.keys(remoteEvents) as RemoteEventName[]).filter(name =>
    drivers.includes(remoteEvents[name].driver),
  );
