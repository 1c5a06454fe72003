// Chooses the host name of a NIC, its name in DNS.
import { machineLabel } from '../names/label.ts';
import { othersThan, type ReserveContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { Nic } from './nic.ts';
import type { ReservationProblem } from './problem.ts';
import type { TrailStep } from './trail.ts';

export interface ChosenHostname {
  readonly hostname: string;
  readonly problem: ReservationProblem | null;
  readonly why: TrailStep;
}

/**
 * Chooses the name in the metadata (for the first NIC), else the name that the NIC has, else a label made from the
 * machine's name. A machine that is off gives up the name that it has for the plain label once that is free.
 */
export function chooseHostname(
  ledger: Ledger,
  nic: Nic,
  { network, byHand, moment }: ReserveContext,
): ChosenHostname {
  const { key, mac, found, wishes, isFirst } = nic;
  const isTaken = (label: string) =>
    network.hosts.some(host => host.name === label && host.mac !== mac) ||
    byHand.some(line => line.hostname === label && !line.macs.includes(mac)) ||
    othersThan(found, ledger.withHostname(network.name, label)).some(entry => entry.retired === null);
  const wish = isFirst ? wishes.hostname : null;
  if (wish !== null && !isTaken(wish)) {
    return { hostname: wish, problem: null, why: { kind: 'hostname', hostname: wish, reason: 'metadata' } };
  }
  const plain = machineLabel(key.machine, key.nic, () => false);
  const lines = byHand.filter(line => line.hostname === plain);
  // A line without a MAC is probably about this machine, and dnsmasq cannot tell that it is.
  const taken = wish ?? (lines.some(({ macs }) => macs.length === 0) ? plain : null);
  const problem = taken === null ? null : ({ kind: 'hostname-taken', label: taken } as const);
  const isNamed = lines.some(({ macs }) => macs.includes(mac));
  const isReturning = moment !== 'booting' && found?.hostname !== plain && !isTaken(plain);
  if (found?.name === key.machine && !isNamed && !isReturning && !isTaken(found.hostname)) {
    const { hostname } = found;
    return { hostname, problem, why: { kind: 'hostname', hostname, reason: 'ledger' } };
  }
  const hostname = machineLabel(key.machine, key.nic, isTaken);
  return { hostname, problem, why: { kind: 'hostname', hostname, reason: 'machine-name' } };
}
