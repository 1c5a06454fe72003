// The published formula: MACs and addresses from names. docs/identity.md describes it; a test compares the
// two.
import type { Ipv4 } from '../address/ip.ts';
import { kvmMac, type Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { digest } from '../names/digest.ts';
import { type Pool, poolAddress, poolSize } from './pool.ts';

/** A NIC of a machine on a network: the input of the formula. */
export interface NicKey {
  readonly network: string;
  readonly machine: string;
  /** The NIC's index among the machine's NICs on this network, from 0, in XML order. */
  readonly nic: number;
}

/** Candidates that `isFormulaMac` compares: that three are taken by chance is practically impossible. */
const comparedCandidates = 4;

/** Returns the first of the key's MACs that is not taken. */
export function formulaMac(key: NicKey, isTaken: (mac: Mac) => boolean): Mac {
  for (let attempt = 0; ; attempt++) {
    const mac = candidateMac(key, attempt);
    if (!isTaken(mac)) return mac;
  }
}

/** Returns whether a MAC is one of the key's first candidates. */
export function isFormulaMac(key: NicKey, mac: Mac): boolean {
  const candidates = Array.from({ length: comparedCandidates }, (_, attempt) => candidateMac(key, attempt));
  return candidates.includes(mac);
}

/**
 * Returns the first address that is not skipped, searching upwards from the key's place in the pool and then
 * from its beginning; null when all are. `skip` returns how many addresses to skip, of `left` in all; 0 for none.
 */
export function formulaAddress(
  key: NicKey,
  pool: Pool,
  skip: (ip: Ipv4, left: number) => number,
): Ipv4 | null {
  const size = poolSize(pool);
  const start = keyDigest('ip', key, 0).readUInt32BE(0) % size;
  for (let step = 0; step < size; ) {
    const ip = poolAddress(pool, (start + step) % size);
    const count = skip(ip, size - step);
    if (count === 0) return ip;
    step += count;
  }
  return null;
}

/**
 * Returns the MAC of a link on this host: the same at every boot, and a different one on every other host.
 */
export function linkMac(link: 'bridge' | 'nic' | 'probe' | 'tunnel', machineId: string, bridge: string): Mac {
  return kvmMac(digest(`virlan:${link}:${machineId}:${bridge}`));
}

/**
 * Returns the MAC of the host in a network that is on several hosts: the same on each, so that machines find it
 * wherever they run.
 */
export function gatewayMac(network: string): Mac {
  return kvmMac(digest(`virlan:gateway:${network}`));
}

/** Returns the MAC of a network's bridge on this host. */
export function bridgeMac(
  { name, bridge, tunnel }: Pick<NetworkConfig, 'name' | 'bridge' | 'tunnel'>,
  machineId: string,
): Mac {
  return tunnel === null ? linkMac('bridge', machineId, bridge) : gatewayMac(name);
}

function candidateMac(key: NicKey, attempt: number): Mac {
  return kvmMac(keyDigest('mac', key, attempt));
}

function keyDigest(what: 'mac' | 'ip', key: NicKey, attempt: number): Buffer {
  return digest(`virlan:${what}:${key.network}/${key.machine}/${key.nic}:${attempt}`);
}
