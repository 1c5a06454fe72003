// Failures of etcd, by what a person has to do. Pure.
import { VirlanError } from '../errors.ts';

/**
 * The kind of a failure: etcd does not answer, its certificate or this host's is refused, so are the user and its
 * password, a file of virlan.ini cannot be read, or another one. The names are those of `status --json`.
 */
export type EtcdFailure = 'unreachable' | 'tls' | 'auth' | 'file' | 'failed';

/** A failed call. The message is one line; parts of it are etcd's. */
export class EtcdError extends VirlanError {
  static override readonly label = 'EtcdError';

  readonly reason: EtcdFailure;

  constructor(reason: EtcdFailure, message: string, options?: { readonly cause: unknown }) {
    super('etcd-failed', message, options);
    this.reason = reason;
  }

  /** Returns the failure of a connection. */
  static from(cause: Error, host: string): EtcdError {
    const { code = '' } = cause as NodeJS.ErrnoException;
    return new EtcdError(isAboutTls(code) ? 'tls' : 'unreachable', `${host}: ${cause.message}`, { cause });
  }
}

/** Returns whether a certificate is refused because it is not valid yet, or not any more, by the clock of this host. */
export function isAboutTime({ cause }: EtcdError): boolean {
  const { code = '' } = (cause ?? {}) as NodeJS.ErrnoException;
  return /^CERT_(NOT_YET_VALID|HAS_EXPIRED)$/.test(code);
}

/** Codes of OpenSSL and of Node about certificates: ERR_TLS_CERT_ALTNAME_INVALID, SELF_SIGNED_CERT_IN_CHAIN, … */
function isAboutTls(code: string): boolean {
  return /^ERR_(TLS|SSL|OSSL)|CERT|UNABLE_TO_|CRL|EPROTO/.test(code);
}

/** Codes of gRPC. A wrong password is an invalid argument; a member without a quorum is unavailable. */
const grpc = { invalidArgument: 3, permissionDenied: 7, unavailable: 14, unauthenticated: 16 };

/** Returns the failure that an answer means. */
export function reasonOf(code: number, path: string): EtcdFailure {
  if (code === grpc.permissionDenied || code === grpc.unauthenticated) return 'auth';
  if (code === grpc.unavailable) return 'unreachable';
  return code === grpc.invalidArgument && path.startsWith('/v3/auth/') ? 'auth' : 'failed';
}
