// Findings about one network.
import { formatIp } from '../../address/ip.ts';
import type { StepCheck } from '../../network/steps/step-kind.ts';
import { checkOf, type Step } from '../../network/steps/steps.ts';
import { type Finding, fail, ok, skipped, warn } from '../finding.ts';
import type { DoctorHostFacts, NetworkFacts } from './facts.ts';
import { judgeEtcd } from './judge-etcd.ts';
import { judgeBgp, judgePeers, judgeTunnel } from './judge-tunnel.ts';
import { receiversOf } from './ports.ts';

/** Judges one network in the order of a packet's path: the first failure causes those after it. */
export function judgeNetwork(facts: NetworkFacts, host: DoctorHostFacts): Finding[] {
  const subject = (check: StepCheck) => judgeSubject(facts, check) ?? ok(check, { kind: 'as-configured' });
  return [
    judgeSubnet(facts),
    judgeLedger(facts),
    judgeMacs(facts),
    ...judgePorts(facts, host),
    judgeBridge(facts),
    subject('stp'),
    judgeTaps(facts),
    subject('settings'),
    judgeReservations(facts),
    judgeNeighbours(facts),
    judgeDnsmasq(facts),
    judgeForwarding(facts, host),
    subject('rules'),
    judgeOtherFirewalls(facts),
    ...judgeTunnel(facts, judgeSubject(facts, 'tunnel')),
    ...judgeBgp(facts, judgeSubject(facts, 'bgp')),
    ...judgeEtcd(facts),
    judgeUplink(facts),
    ...facts.probe,
    ...judgePeers(facts),
  ];
}

function judgeSubnet({ survey: { warnings } }: NetworkFacts): Finding {
  const [first] = warnings.filter(warning => warning.kind === 'conflict');
  return first === undefined
    ? ok('subnet', { kind: 'subnet-unique' })
    : fail('subnet', { kind: 'subnet-conflict', ...first.conflict });
}

function judgeLedger({ survey: { damage } }: NetworkFacts): Finding {
  return damage === null
    ? ok('ledger', { kind: 'ledger-intact' })
    : fail('ledger', { kind: 'ledger-damaged', message: damage.message });
}

function judgeMacs({ sharedMacs: [shared] }: NetworkFacts): Finding {
  return shared === undefined
    ? ok('macs', { kind: 'macs-unique' })
    : fail('macs', { kind: 'mac-shared', ...shared });
}

/** The services of dnsmasq. */
const services = [
  { check: 'dhcp-port', port: 67, service: 'DHCP' },
  { check: 'dns-port', port: 53, service: 'DNS' },
] as const;

function judgePorts({ survey }: NetworkFacts, { portOwners }: DoctorHostFacts): Finding[] {
  const { bridge, gateway } = survey.network;
  const { pid: ownPid } = survey.observed.dnsmasq;
  return services.map(({ check, port, service }) => {
    if (portOwners === null) return skipped(check, { kind: 'ss-missing' });
    const receivers = receiversOf(portOwners, port, formatIp(gateway), bridge);
    const owner = receivers.find(({ pid }) => pid !== ownPid);
    if (owner === undefined) return ok(check, { kind: 'port-free' });
    return ownPid === null
      ? fail(check, { kind: 'port-taken', service, bridge, owner })
      : warn(check, { kind: 'port-shared', owner });
  });
}

/** Returns the failure of a subject that `virlan up` would change; null where it would change nothing. */
function judgeSubject({ survey }: NetworkFacts, check: StepCheck): Finding | null {
  const { network, observed, steps } = survey;
  const { bridge } = network;
  const [step, ...rest] = steps.filter(each => checkOf(each, bridge) === check);
  if (step === undefined) return null;
  const others = rest.length;
  // Rules without a bridge are those of an established network whose bridge was deleted.
  const isEstablished = observed.link !== null || !steps.some(isFirstLoad);
  return check === 'bridge' && !isEstablished
    ? fail(check, { kind: 'not-established', bridge, others })
    : fail(check, { kind: 'plan-step', subject: check, bridge, step, others });
}

function judgeBridge(facts: NetworkFacts): Finding {
  const { survey, managed, unknownOwnMac } = facts;
  const { bridge } = survey.network;
  for (const warning of survey.warnings)
    if (warning.kind === 'bridge-is-uplink' || warning.kind === 'bridge-of-libvirt')
      return fail('bridge', warning);
  const failure = judgeSubject(facts, 'bridge');
  if (failure !== null) return failure;
  if (unknownOwnMac !== null) return fail('bridge', { kind: 'own-mac-unknown', bridge, mac: unknownOwnMac });
  if (managed?.link === bridge) return warn('bridge', { kind: 'link-managed', bridge, ...managed });
  const port = survey.observed.otherPorts.find(({ leadsToLan }) => leadsToLan);
  return port === undefined
    ? ok('bridge', { kind: 'as-configured' })
    : warn('bridge', { kind: 'lan-port', bridge, link: port.name });
}

/** A machine whose tap is elsewhere may be there on purpose. */
function judgeTaps(facts: NetworkFacts): Finding {
  const { survey, managed } = facts;
  const { bridge } = survey.network;
  const failure = judgeSubject(facts, 'taps');
  if (failure !== null) return failure;
  if (managed !== null && managed.link !== bridge)
    return warn('taps', { kind: 'link-managed', bridge, ...managed });
  const [elsewhere] = survey.warnings.filter(warning => warning.kind === 'tap-in-other-bridge');
  if (elsewhere === undefined) return ok('taps', { kind: 'as-configured' });
  const { tap, found } = elsewhere;
  return warn('taps', { kind: 'tap-in-other-bridge', tap, bridge, found });
}

function judgeReservations(facts: NetworkFacts): Finding {
  const failure = judgeSubject(facts, 'reservations');
  if (failure !== null) return failure;
  const [first] = facts.survey.warnings.filter(warning => warning.kind === 'address-shared');
  return first === undefined
    ? ok('reservations', { kind: 'as-configured' })
    : fail('reservations', { kind: 'address-shared', ...first.shared });
}

function judgeDnsmasq(facts: NetworkFacts): Finding {
  const { closedPath, probe } = facts;
  const failure = judgeSubject(facts, 'dnsmasq');
  if (failure !== null) return failure;
  // dnsmasq has read the reservation of the probe: an access list (ACL) lets it.
  const isRead = probe.some(({ detail }) => detail.kind === 'probe-leased');
  if (closedPath === null || isRead) return ok('dnsmasq', { kind: 'as-configured' });
  const { path, isDirectory, mode } = closedPath;
  return fail('dnsmasq', { kind: 'dnsmasq-cannot-read', path, isDirectory, mode });
}

function judgeNeighbours({ misleading }: NetworkFacts): Finding {
  return misleading === null
    ? ok('neighbours', { kind: 'neighbours-right' })
    : fail('neighbours', { kind: 'neighbour-static', ...misleading });
}

function isFirstLoad(step: Step): boolean {
  return step.kind === 'load rules' && step.drift.length === 0;
}

function judgeForwarding(facts: NetworkFacts, { survey }: DoctorHostFacts): Finding {
  for (const step of survey.steps) {
    if (step.kind === 'set sysctl')
      return fail('forwarding', { kind: 'forwarding-off', key: step.key, value: step.from });
    if (step.kind === 'write file' || step.kind === 'remove file')
      return fail('forwarding', { kind: 'forwarding-off-after-boot', path: step.path });
  }
  const failure = judgeSubject(facts, 'forwarding');
  if (failure !== null) return failure;
  const { forwarding, survey: own } = facts;
  const [elsewhere] = own.warnings.filter(warning => warning.kind === 'detour');
  if (elsewhere !== undefined) return fail('forwarding', { kind: 'answers-elsewhere', ...elsewhere.detour });
  if (own.network.mode === 'isolated') return ok('forwarding', { kind: 'forwarding-not-needed' });
  const [key] = [...forwarding].flatMap(([each, value]) => (value === '0' ? [each] : []));
  return key === undefined
    ? ok('forwarding', { kind: 'forwarding-on' })
    : fail('forwarding', { kind: 'link-forwarding-off', key });
}

/**
 * Judges other firewalls. A policy that drops is not a failure, because rules may accept: the probe finds
 * out.
 */
function judgeOtherFirewalls(facts: NetworkFacts): Finding {
  const { droppingChains: chains, unreadFirewalls, bridgeDrop: drop } = facts;
  const [unread] = unreadFirewalls;
  const failure = judgeSubject(facts, 'foreign');
  if (failure !== null) return failure;
  if (unread !== undefined) return warn('foreign', { kind: 'other-firewall-unreadable', ...unread });
  if (drop !== null) return warn('foreign', { kind: 'frames-may-be-dropped', drop });
  return ok(
    'foreign',
    chains.length === 0 ? { kind: 'no-other-policy' } : { kind: 'other-policies', chains },
  );
}

function judgeUplink({ uplink, ownUplink, survey: { network, warnings } }: NetworkFacts): Finding {
  const { uplink: allowed } = network;
  if (uplink?.kind === 'via' && allowed !== null && uplink.dev !== allowed)
    return warn('uplink', { kind: 'uplink-not-allowed', dev: uplink.dev, allowed: [allowed] });
  if (uplink === null) return skipped('uplink', { kind: 'uplink-not-asked' });
  const [refused] = warnings.filter(warning => warning.kind === 'outside-refused');
  if (refused !== undefined) {
    // A rule about one kind of packets, such as mail, is there on purpose.
    const judge = refused.refusal.only === null ? fail : warn;
    return judge('uplink', { kind: 'outside-refused', ...refused.refusal });
  }
  switch (uplink.kind) {
    case 'unreachable': {
      // The kernel refuses packets of machines as well: their source seems to be an address of this host.
      const kept = warnings
        .filter(warning => warning.kind === 'detour')
        .find(({ detour }) => detour.by.kind === 'local-route');
      if (kept !== undefined) return fail('uplink', { kind: 'answers-elsewhere', ...kept.detour });
      if (ownUplink?.kind === 'via') return fail('uplink', { kind: 'outside-lost', reason: uplink.reason });
      return warn('uplink', { kind: 'uplink-missing', reason: uplink.reason });
    }
    case 'via':
      return ok('uplink', { kind: 'uplink-found', dev: uplink.dev, gateway: uplink.gateway });
  }
}
