import type { Ipv4 } from '../address/ip.ts';
import { kvmMac, type Mac } from '../address/mac.ts';
import { digest } from '../names/digest.ts';
import { type Pool, poolAddress, poolSize } from './pool.ts';

/** Which NIC of which machine on which network: what an identity is computed from. */
export interface NicKey {
  readonly network: string;
  readonly machine: string;
  /** The NIC's place among the machine's NICs on this network, from 0, in XML order. */
  readonly nic: number;
}

function keyDigest(what: 'mac' | 'ip', key: NicKey, attempt: number): Buffer {
  return digest(`virlan:${what}:${key.network}/${key.machine}/${key.nic}:${attempt}`);
}

/** The formula's MAC: the first of the key's candidates that is not taken. */
export function formulaMac(key: NicKey, taken: (mac: Mac) => boolean): Mac {
  for (let attempt = 0; ; attempt++) {
    const mac = kvmMac(keyDigest('mac', key, attempt));
    if (!taken(mac)) return mac;
  }
}

/** How many attempts count as the formula's: a fourth machine with the same three bytes is beyond all likelihood. */
const attemptsKnown = 4;

/** Whether a MAC is one that the formula gives this key. */
export function isFormulaMac(key: NicKey, mac: Mac): boolean {
  return Array.from({ length: attemptsKnown }, (_, attempt) =>
    kvmMac(keyDigest('mac', key, attempt)),
  ).includes(mac);
}

/** The formula's address: from the key's place in the pool upwards, wrapping, the first that is not taken; null when all are. */
export function formulaAddress(key: NicKey, pool: Pool, taken: (ip: Ipv4) => boolean): Ipv4 | null {
  const size = poolSize(pool);
  if (size === 0) return null;
  const start = keyDigest('ip', key, 0).readUInt32BE(0) % size;
  for (let step = 0; step < size; step++) {
    const ip = poolAddress(pool, (start + step) % size);
    if (!taken(ip)) return ip;
  }
  return null;
}

/** The MAC of a bridge, of its dummy NIC or of a probe on it: the same at every boot of this host, another on every other host. */
export function linkMac(link: 'bridge' | 'nic' | 'probe', machineId: string, bridge: string): Mac {
  return kvmMac(digest(`virlan:${link}:${machineId}:${bridge}`));
}
