// The exports of this package. The wire format alone is exported by frame.ts.

export {
  DomainAffect,
  DomainDefine,
  DomainState,
  DomainXml,
  ListDomains,
  ListNetworks,
  MetadataType,
  NetworkXml,
} from './api.ts';
export type { BackoffOptions } from './backoff.ts';
export {
  type Connected,
  type Disconnected,
  LibvirtClient,
  type LibvirtClientEvents,
  type LibvirtClientOptions,
} from './client.ts';
export type { ConnectionLimits } from './connection.ts';
export type { Unsubscribe } from './emitter.ts';
export type { Layout } from './endpoints.ts';
export {
  CallTimeoutError,
  ConnectionError,
  type ConnectionFailure,
  ErrorCode,
  FrameError,
  isNoDomain,
  isNoDomainMetadata,
  isNoNetwork,
  isNoSuchProcedure,
  LibvirtError,
  type ProcedureId,
  XdrError,
} from './errors.ts';
export type {
  DeviceEvent,
  DomainLifecycleEvent,
  LibvirtEvent,
  MetadataChangeEvent,
  NetworkLifecycleEvent,
} from './events.ts';
export type { KeepaliveOptions } from './keepalive.ts';
export type { Notice } from './notices.ts';
export type { Domain, Driver, Network, RemoteEventName } from './procedures.ts';
