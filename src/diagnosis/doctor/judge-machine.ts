import { formatIp } from '../../address/ip.ts';
import { problemText } from '../../report/problem-text.ts';
import { shellQuoted } from '../../text.ts';
import { type CheckId, type Finding, failed, mendable, ok, skipped, unclear } from '../finding.ts';
import type { MachineFacts, NicFacts } from './facts.ts';

const path = ['tap', 'port', 'discover', 'reservation', 'ack', 'arp'] as const satisfies readonly CheckId[];

/** Whether a machine is there, runs, and has a NIC on a network of virlan's. */
export function judgeMachine({ name, state, elsewhere, nics }: MachineFacts): Finding[] {
  const own = shellQuoted(name);
  if (state === 'unknown')
    return [unclear('machine', `libvirt has no machine ${JSON.stringify(name)}`, 'virsh list --all')];
  const plugged =
    nics.length > 0
      ? ok('nic', nics.map(nic => `${nic.mac} on ${nic.network}`).join(', '))
      : unclear(
          'nic',
          elsewhere.length === 0
            ? `${JSON.stringify(name)} has no NIC at all`
            : `${JSON.stringify(name)} has no NIC on a network of virlan's: it is on ${elsewhere.join(', ')}`,
          `virsh edit -- ${own}`,
        );
  return state === 'running'
    ? [ok('machine', 'runs'), plugged]
    : [failed('machine', `${JSON.stringify(name)} is shut off`, `virsh start -- ${own}`), plugged];
}

/** The way of one NIC's packets: each step rests on those before it. */
export function judgeNic(machine: string, nic: NicFacts): Finding[] {
  if (nic.tap === null) return path.map(check => skipped(check, 'it does not run'));
  return [
    judgeTap(machine, nic),
    judgePort(nic),
    judgeDiscover(machine, nic),
    judgeReservation(machine, nic),
    judgeAck(machine, nic),
    judgeArp(machine, nic),
  ];
}

function judgeTap(machine: string, { bridge, tap, port }: NicFacts): Finding {
  if (port === null) {
    const own = shellQuoted(machine);
    return failed(
      'tap',
      `its port ${tap} is gone from this host`,
      `virsh destroy -- ${own}; virsh start -- ${own}`,
    );
  }
  if (port.master === null) return mendable('tap', `its port ${tap} is in no bridge`);
  if (port.master !== bridge)
    return failed(
      'tap',
      `its port ${tap} is in ${port.master}, not in ${bridge}`,
      `ip link set dev ${tap} master ${bridge}`,
    );
  if (!port.up) return failed('tap', `its port ${tap} is down`, `ip link set dev ${tap} up`);
  return ok('tap', `${tap} in ${bridge}`);
}

function judgePort({ tap, bridge, port }: NicFacts): Finding {
  if (port === null || port.state === null || port.master !== bridge)
    return skipped('port', `${tap} is not in the bridge`);
  if (port.state === 3) return ok('port', 'forwards');
  if (port.state === 1 || port.state === 2)
    return failed('port', `STP does not let ${tap} forward yet: wait four seconds`, 'sleep 4');
  const state = port.state === 4 ? 'blocked' : 'disabled';
  return failed('port', `${tap} is ${state} in its bridge`, `bridge link set dev ${tap} state 3`);
}

function judgeReservation(machine: string, { network, mac, entry, promised }: NicFacts): Finding {
  if (entry?.problem != null) return failed('reservation', problemText(entry.problem), null);
  if (entry === null || entry.ip === null)
    return mendable(
      'reservation',
      `no address is reserved for ${mac} on ${network}`,
      `virlan doctor --fix -- ${shellQuoted(machine)}`,
    );
  if (promised === null)
    return mendable(
      'reservation',
      `dnsmasq's hostsfile does not have ${mac}, for which ${formatIp(entry.ip)} is reserved`,
    );
  return ok('reservation', formatIp(promised));
}

/** What dnsmasq writes in its log of what clients send (log_packet in its rfc2131.c). */
const clientWord = /\bDHCP(DISCOVER|REQUEST|INFORM)\(/;

function judgeDiscover(machine: string, { tap, mac, port, lease, log }: NicFacts): Finding {
  if (lease !== null) return ok('discover', 'it has asked and was answered');
  if (log?.some(line => clientWord.test(line))) return ok('discover', 'dnsmasq has heard it ask');
  if (port !== null && port.sent === 0)
    return unclear(
      'discover',
      `${JSON.stringify(machine)} has not sent a single frame on ${tap}: its system has not come up, or does not use this NIC`,
      `virsh console -- ${shellQuoted(machine)}`,
    );
  const seen = `it sends, but dnsmasq has given ${mac} no lease`;
  return log === null
    ? unclear('discover', `${seen}: its system may not ask by DHCP`, `tcpdump -ni ${tap} udp port 67`)
    : unclear(
        'discover',
        `${seen} and has not heard it ask: its system does not use DHCP`,
        `tcpdump -ni ${tap} udp port 67`,
      );
}

function judgeAck(machine: string, { mac, lease, promised, log }: NicFacts): Finding {
  if (lease === null) {
    const said = log?.find(line => line.includes('DHCPNAK') || line.includes('no address'));
    return said === undefined
      ? skipped('ack', 'no lease')
      : failed('ack', `dnsmasq refuses it: ${said}`, null);
  }
  const has = formatIp(lease.ip);
  if (promised !== null && lease.ip !== promised)
    return failed(
      'ack',
      `${mac} has leased ${has} before ${formatIp(promised)} was reserved for it, and keeps it until it asks anew`,
      `virsh reboot -- ${shellQuoted(machine)}`,
    );
  return ok('ack', `${has} leased`);
}

function judgeArp(machine: string, { mac, lease, promised, neighbour }: NicFacts): Finding {
  const ip = lease?.ip ?? promised;
  if (ip === null || neighbour === null) return skipped('arp', 'no address to ask for');
  const text = formatIp(ip);
  if (neighbour.mac === null)
    return unclear(
      'arp',
      lease === null
        ? `nobody answers for ${text}`
        : `${JSON.stringify(machine)} does not answer for ${text}, though it leased it: its system is down, or uses another address`,
      `virsh console -- ${shellQuoted(machine)}`,
    );
  if (neighbour.mac !== mac)
    return unclear(
      'arp',
      `${neighbour.mac} answers for ${text}, which is ${mac}'s: two have one address`,
      `bridge fdb show | grep ${neighbour.mac}`,
    );
  return ok('arp', `answers for ${text}`);
}
