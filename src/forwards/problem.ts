// Why a forward is not active, as values; problem-text.ts has the words.
import type { NetworkConfig } from '../config/config.ts';
import type { Forward, PortSpan } from '../config/forward.ts';

/** The attributes of `<virlan:forward …/>`. */
export type ForwardAttribute = 'protocol' | 'port' | 'to' | 'address' | 'from';

/** A socket of a program of the host that listens, or, with UDP, receives from everybody. */
export interface Listener {
  readonly protocol: 'tcp' | 'udp';
  /** Is an address, or `0.0.0.0` or `::` for all. */
  readonly address: string;
  readonly port: number;
  /** Of the socket: /proc/PID/fd/N is a link to `socket:[INODE]`. */
  readonly inode: string;
}

export type ForwardProblem =
  /** An element of the machine's metadata has a value that is not valid, or lacks one. It is hostile. */
  | { readonly kind: 'invalid'; readonly attribute: ForwardAttribute; readonly value: string | null }
  /** The machine's ports are not as many as the host's, or the range is too long to lead to other ports. */
  | { readonly kind: 'unequal'; readonly port: string; readonly to: string }
  /** The machine's metadata has more forwards than are read. */
  | { readonly kind: 'too-many'; readonly limit: number }
  /** The network has no place for it. */
  | { readonly kind: 'mode'; readonly forward: Forward; readonly mode: NetworkConfig['mode'] }
  /** `forward-ports` does not let metadata have it; `allowed` is null for none. */
  | { readonly kind: 'not-allowed'; readonly forward: Forward; readonly allowed: PortSpan | null }
  /** The machine has another forward of the same port. */
  | { readonly kind: 'overlaps'; readonly forward: Forward; readonly other: Forward }
  /** Another machine has it. */
  | {
      readonly kind: 'taken';
      readonly forward: Forward;
      readonly by: { readonly name: string; readonly uuid: string };
    }
  | {
      readonly kind: 'busy';
      readonly forward: Forward;
      readonly listener: Listener;
      /** The program, if it is known. */
      readonly process: { readonly pid: number; readonly name: string } | null;
    }
  /** libvirt may use it for displays or migrations, according to a setting of qemu.conf. */
  | { readonly kind: 'of-libvirt'; readonly forward: Forward; readonly setting: string }
  /** Its address is a loopback address of the host, which leads to machines only with `localhost = yes`. */
  | { readonly kind: 'needs-localhost'; readonly forward: Forward }
  /** The machine has no address. */
  | { readonly kind: 'no-address'; readonly forward: Forward };

/** A forward that is not active, and its machine, whose name is hostile. */
export interface RefusedForward {
  readonly machine: { readonly name: string; readonly uuid: string };
  readonly problem: ForwardProblem;
}

/** Returns the forward that a problem is about; null where the metadata names none that can be read. */
export function forwardOf(problem: ForwardProblem): Forward | null {
  switch (problem.kind) {
    case 'invalid':
    case 'unequal':
    case 'too-many':
      return null;
    case 'mode':
    case 'not-allowed':
    case 'overlaps':
    case 'taken':
    case 'busy':
    case 'of-libvirt':
    case 'needs-localhost':
    case 'no-address':
      return problem.forward;
  }
}

/** Returns a text that is equal for equal refusals: it tells a new one from one that was logged before. */
export function refusalKey({ machine, problem }: RefusedForward): string {
  // JSON refuses a bigint, which an address of IPv6 is.
  return JSON.stringify([machine.uuid, problem], (_, value) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}
