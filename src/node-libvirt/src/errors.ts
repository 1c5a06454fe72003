// Every way in which a call or a connection can fail, one class each. Callers tell them apart with
// `instanceof`, a code or a predicate, never by the text.

/** The codes of libvirt's virErrorNumber (include/libvirt/virterror.h) that callers usually branch on. */
export const ErrorCode = {
  INTERNAL_ERROR: 1,
  NO_SUPPORT: 3,
  OPERATION_FAILED: 9,
  RPC: 39,
  NO_DOMAIN: 42,
  NO_NETWORK: 43,
  AUTH_FAILED: 45,
  OPERATION_INVALID: 55,
  HOOK_SCRIPT_FAILED: 70,
  NO_DOMAIN_METADATA: 80,
} as const;

/** The procedure that an error speaks of, under its name and number in remote_protocol.x. */
export interface ProcedureId {
  readonly name: string;
  readonly number: number;
}

/** What libvirt answered instead of a result (virNetMessageError). `message` is libvirt's own text. */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  /** virErrorNumber, see `ErrorCode`. */
  readonly code: number;
  /** virErrorDomain: the part of libvirt that raised the error. */
  readonly domain: number;
  readonly procedure: ProcedureId;

  constructor(message: string, code: number, domain: number, procedure: ProcedureId) {
    super(message);
    this.code = code;
    this.domain = domain;
    this.procedure = procedure;
  }
}

/** Why a connection is not there (any more). */
export type ConnectionFailure =
  /** No call was possible: the client is not connected at this moment. */
  | 'not-connected'
  /** connect() failed, or no socket is there. */
  | 'connect'
  /** The daemon refused the connection after connect(): an error in reply to the opening calls. */
  | 'refused'
  /** The opening calls were not answered in time. */
  | 'handshake-timeout'
  /** The daemon closed the connection, or the socket failed. */
  | 'lost'
  /** The daemon sent something that makes no sense. */
  | 'protocol'
  /** The daemon no longer answers keepalive requests. */
  | 'keepalive'
  /** This side closed the connection. */
  | 'closed';

/**
 * The connection is gone, and with it every call under way. Whether a call that was under way took effect is not
 * known.
 */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly failure: ConnectionFailure;

  constructor(failure: ConnectionFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }
}

/** A call was not answered within its time limit. It may still take effect: libvirt has no way to take it back. */
export class CallTimeoutError extends Error {
  override readonly name = 'CallTimeoutError';
  readonly procedure: ProcedureId;

  constructor(procedure: ProcedureId, timeoutMs: number) {
    super(`${procedure.name} was not answered within ${timeoutMs} ms`);
    this.procedure = procedure;
  }
}

/** Bytes that are not the XDR they should be, or a value that XDR cannot carry. */
export class XdrError extends Error {
  override readonly name = 'XdrError';
}

/** A frame that makes no sense; what follows it in the stream cannot be trusted. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

const hasCode = (error: unknown, code: number): error is LibvirtError =>
  error instanceof LibvirtError && error.code === code;

/** Whether the domain that a call was about does not exist (any more). */
export const isNoDomain = (error: unknown): error is LibvirtError => hasCode(error, ErrorCode.NO_DOMAIN);

/** Whether the network that a call was about does not exist (any more). */
export const isNoNetwork = (error: unknown): error is LibvirtError => hasCode(error, ErrorCode.NO_NETWORK);

/** Whether the domain has no metadata of the kind asked for. */
export const isNoDomainMetadata = (error: unknown): error is LibvirtError =>
  hasCode(error, ErrorCode.NO_DOMAIN_METADATA);

/**
 * Whether the daemon, older or newer than this library, does not have the procedure, or its driver does not.
 *
 * For a number that it does not know, the daemon answers VIR_ERR_RPC "unknown procedure: 9999"
 * (virNetServerProgramDispatchCall) and shares that code with other failures. libvirt's own client looks for those
 * words (virNetClientProgramDispatchError); a daemon that runs in another language translates them, so the number is
 * what is looked for here.
 */
export const isNoSuchProcedure = (error: unknown): error is LibvirtError =>
  hasCode(error, ErrorCode.NO_SUPPORT) ||
  (hasCode(error, ErrorCode.RPC) && new RegExp(`\\b${error.procedure.number}\\b`).test(error.message));
