// Every way in which a call or a connection can fail, one class each. Callers tell them apart with
// `instanceof`, a code or a predicate, never by the text.

/** The members of libvirt's virErrorNumber (include/libvirt/virterror.h) that callers usually branch on. */
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

/** The procedure that an error refers to, by its name and number in libvirt's remote_protocol.x. */
export interface ProcedureId {
  /** Such as REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME. */
  readonly name: string;
  readonly number: number;
}

/**
 * The error that libvirt returned in place of a result (virNetMessageError). `message` is libvirt's own text,
 * in the language of the daemon. The connection is not affected.
 */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  /** A virErrorNumber, see `ErrorCode`. */
  readonly code: number;
  /** A virErrorDomain: the part of libvirt that raised the error. */
  readonly domain: number;
  /** The procedure that was called. */
  readonly procedure: ProcedureId;

  constructor(message: string, code: number, domain: number, procedure: ProcedureId) {
    super(message);
    this.code = code;
    this.domain = domain;
    this.procedure = procedure;
  }
}

/** The reason why there is no connection. */
export type ConnectionFailure =
  /** The call was not sent: the client is not connected at this moment. */
  | 'not-connected'
  /** connect() failed, for example because the socket does not exist or permission is denied. */
  | 'connect'
  /** The daemon answered an opening call with an error, or requires an authentication other than polkit. */
  | 'refused'
  /** The opening calls were not answered within `handshakeTimeoutMs`. */
  | 'handshake-timeout'
  /** The daemon closed the connection, or the socket failed. */
  | 'lost'
  /** The daemon sent something that violates the protocol; `cause` is a FrameError or an XdrError. */
  | 'protocol'
  /** The daemon did not answer keepalive requests. */
  | 'keepalive'
  /** This side closed the connection. */
  | 'closed';

/**
 * There is no connection. Every call in flight is rejected with this error when a connection ends; whether
 * such a call took effect is unknown. `failure` is the reason, `cause` the underlying error where there is
 * one.
 */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** The reason. */
  readonly failure: ConnectionFailure;

  constructor(failure: ConnectionFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** A call was not answered within `callTimeoutMs`. It may still take effect: libvirt cannot cancel it. */
export class CallTimeoutError extends Error {
  override readonly name = 'CallTimeoutError';
  /** The procedure that was called. */
  readonly procedure: ProcedureId;

  constructor(procedure: ProcedureId, timeoutMs: number) {
    super(`${procedure.name} was not answered within ${timeoutMs} ms`);
    this.procedure = procedure;
  }
}

/**
 * A call's arguments cannot be encoded (a malformed UUID, a string with a NUL or of more than 4 MiB), and
 * nothing was sent; or, as the `cause` of a ConnectionError, received bytes do not decode.
 */
export class XdrError extends Error {
  override readonly name = 'XdrError';
}

/** A received frame is invalid, and what follows it in the stream cannot be trusted. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

function hasCode(error: unknown, code: number): error is LibvirtError {
  return error instanceof LibvirtError && error.code === code;
}

/** Tells whether the domain of the failed call does not exist. */
export function isNoDomain(error: unknown): error is LibvirtError {
  return hasCode(error, ErrorCode.NO_DOMAIN);
}

/** Tells whether the network of the failed call does not exist. */
export function isNoNetwork(error: unknown): error is LibvirtError {
  return hasCode(error, ErrorCode.NO_NETWORK);
}

/** Tells whether the domain does not have the requested metadata. */
export function isNoDomainMetadata(error: unknown): error is LibvirtError {
  return hasCode(error, ErrorCode.NO_DOMAIN_METADATA);
}

/**
 * Tells whether the daemon, or its driver, does not have the procedure: it is older or newer than this
 * package.
 *
 * To a number that it does not know, the daemon answers VIR_ERR_RPC "unknown procedure: 9999"
 * (virNetServerProgramDispatchCall), a code that it also uses for other failures. libvirt's own client
 * searches for these words (virNetClientProgramDispatchError); a daemon with another locale translates them,
 * so this function searches for the number.
 */
export function isNoSuchProcedure(error: unknown): error is LibvirtError {
  return (
    hasCode(error, ErrorCode.NO_SUPPORT) ||
    (hasCode(error, ErrorCode.RPC) && new RegExp(`\\b${error.procedure.number}\\b`).test(error.message))
  );
}
