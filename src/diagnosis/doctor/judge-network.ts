import { formatIp } from '../../address/ip.ts';
import { conflictText } from '../../network/conflicts.ts';
import { checkOf, describeStep, faultOf, type Step } from '../../network/steps.ts';
import { shellQuoted } from '../../text.ts';
import { type CheckId, type Finding, failed, mendable, ok, skipped, unclear, warning } from '../finding.ts';
import type { HostFacts, NetworkFacts } from './facts.ts';
import { type Listener, takersOf } from './ports.ts';

/** What concerns one network, in the order of a packet's way, so that the first failure is the cause of those behind it. */
export function judgeNetwork(facts: NetworkFacts, host: HostFacts): Finding[] {
  const subject = (check: Subject) => judgeSubject(facts, check) ?? ok(check, 'as it should be');
  return [
    judgeSubnet(facts),
    judgeLedger(facts),
    judgeDuplicates(facts),
    ...judgePorts(facts, host),
    subject('bridge'),
    subject('stp'),
    subject('taps'),
    subject('settings'),
    subject('reservations'),
    subject('dnsmasq'),
    judgeForwarding(facts, host),
    subject('rules'),
    judgeForeign(facts),
    judgeUplink(facts),
    ...facts.probe,
  ];
}

function judgeSubnet({ survey }: NetworkFacts): Finding {
  const [conflict] = survey.warnings.filter(warning => warning.kind === 'conflict');
  return conflict === undefined
    ? ok('subnet', 'nothing else on this host has it')
    : unclear('subnet', conflictText(conflict.conflict), 'ip route show table all');
}

function judgeLedger({ survey }: NetworkFacts): Finding {
  return survey.damage === null
    ? ok('ledger', 'whole')
    : failed('ledger', `no reservation can be made: ${survey.damage.message}`, null);
}

function judgeDuplicates({ duplicates }: NetworkFacts): Finding {
  const [twins] = duplicates;
  if (twins === undefined) return ok('macs', 'each machine has its own');
  const names = twins.names.map(name => JSON.stringify(name)).join(' and ');
  return unclear(
    'macs',
    `${names} have one MAC, ${twins.mac}: give one of them another`,
    `virsh edit -- ${shellQuoted(twins.names.at(-1) ?? '')}`,
  );
}

function judgePorts({ survey }: NetworkFacts, { listeners }: Pick<HostFacts, 'listeners'>): Finding[] {
  const { network, observed } = survey;
  const ip = formatIp(network.gateway);
  const checks = [
    ['dhcp-port', 67, 'DHCP'],
    ['dns-port', 53, 'DNS'],
  ] as const;
  return checks.map(([check, port, what]) => {
    if (listeners === null) return skipped(check, 'no ss here to ask: install iproute2');
    const stranger = takersOf(listeners, port, ip, network.bridge).find(
      ({ pid }) => pid !== observed.dnsmasq.pid,
    );
    if (stranger === undefined) return ok(check, 'nobody else has it');
    const seen = `${nameOf(stranger)} has port ${port} of ${stranger.address}`;
    const command = stranger.pid === null ? 'ss -lunp' : `systemctl status ${stranger.pid}`;
    return observed.dnsmasq.pid === null
      ? unclear(check, `${seen}: dnsmasq cannot serve ${what} on ${network.bridge}`, command)
      : warning(check, `${seen} too: it may answer machines in dnsmasq's place`, command);
  });
}

function nameOf({ program, pid }: Listener): string {
  return program === null ? 'somebody' : `${program} (process ${pid})`;
}

/** What `virlan up` would change, by what it is about, each with what its absence means to machines. */
const subjects = {
  bridge: 'machines have no network',
  stp: 'a machine that starts waits for its port',
  taps: 'machines are not plugged in',
  settings: 'the network is not as virlan.ini wants it',
  reservations: 'machines do not get their own addresses',
  dnsmasq: 'machines get no address and no names',
  rules: 'packets of machines are not let through and masqueraded as they should be',
  foreign: 'another firewall does not let machines through',
} as const satisfies Partial<Record<CheckId, string>>;

type Subject = keyof typeof subjects;

/** What is wrong about a subject; null where nothing is. */
function judgeSubject({ survey }: NetworkFacts, check: Subject): Finding | null {
  const { network, observed, steps } = survey;
  const own = steps.filter(step => checkOf(step, network.bridge) === check);
  const [first] = own;
  if (first === undefined) return null;
  const what = faultOf(first, network.bridge);
  const others = own.length === 1 ? '' : ` (and ${own.length - 1} more)`;
  const isNew = check === 'bridge' && observed.link === null && steps.some(isRulesAnew);
  return mendable(check, `${what}${others}: ${isNew ? 'it is not established' : subjects[check]}`);
}

function isRulesAnew(step: Step): boolean {
  return step.kind === 'load rules' && step.drift.length === 0;
}

function judgeForwarding({ forwarding }: NetworkFacts, { survey }: HostFacts): Finding {
  const [step] = survey.steps;
  if (step?.kind === 'set sysctl')
    return mendable('forwarding', `${step.key} is ${step.from}: nothing gets from machines to the outside`);
  if (step !== undefined)
    return mendable(
      'forwarding',
      `${describeStep(step).subject} is not as it should be: forwarding is off after the next boot`,
    );
  const [off] = [...forwarding].filter(([, value]) => value === '0');
  return off === undefined
    ? ok('forwarding', 'on for each link on the way, and on again after a boot')
    : failed('forwarding', `${off[0]} is 0: what comes in there is not forwarded`, `sysctl -w ${off[0]}=1`);
}

/** A policy that drops is no failure as long as its owner lets machines through: the probe tells. */
function judgeForeign(facts: NetworkFacts): Finding {
  const { droppers, unread } = facts;
  const [silent] = unread;
  const drops =
    droppers.length === 0 ? 'nobody else drops by policy' : `dropping by policy: ${droppers.join(', ')}`;
  return (
    judgeSubject(facts, 'foreign') ??
    (silent === undefined ? ok('foreign', drops) : warning('foreign', silent))
  );
}

function judgeUplink({ uplink }: NetworkFacts): Finding {
  if (uplink === null) return skipped('uplink', 'what comes from machines is not forwarded');
  if (uplink.kind === 'unreachable')
    return warning(
      'uplink',
      `this host itself has no way to the outside: ${uplink.reason}`,
      'ip route show default',
    );
  const via = uplink.gateway === null ? '' : ` by ${uplink.gateway}`;
  return ok('uplink', `what machines send to the outside goes out on ${uplink.dev}${via}`);
}
