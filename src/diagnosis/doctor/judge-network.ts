import { formatIp } from '../../address/ip.ts';
import { describeStep } from '../../network/describe.ts';
import type { Step } from '../../network/plan.ts';
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
  const [conflict] = survey.conflicts;
  return conflict === undefined
    ? ok('subnet', 'nothing else on this host has it')
    : unclear('subnet', conflict, 'ip route show table all');
}

function judgeLedger({ survey }: NetworkFacts): Finding {
  return survey.damage === null
    ? ok('ledger', 'whole')
    : failed('ledger', `no reservation can be made: ${survey.damage}`, null);
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
  const own = steps.filter(step => subjectOf(step, network.bridge) === check);
  const [first] = own;
  if (first === undefined) return null;
  const what = whatIsWrong(first, network.bridge);
  const others = own.length === 1 ? '' : ` (and ${own.length - 1} more)`;
  const isNew = check === 'bridge' && observed.link === null && steps.some(isRulesAnew);
  return mendable(check, `${what}${others}: ${isNew ? 'it is not established' : subjects[check]}`);
}

function subjectOf(step: Step, bridge: string): Subject {
  switch (step.do) {
    case 'load rules':
    case 'remove rules':
      return 'rules';
    case 'write reservations':
      return 'reservations';
    case 'start dnsmasq':
    case 'stop dnsmasq':
    case 'write file':
    case 'remove file':
      return 'dnsmasq';
    case 'add bridge':
    case 'add address':
    case 'remove address':
    case 'add route':
      return 'bridge';
    case 'set link':
      if (step.link !== bridge) return step.attribute === 'bridge' ? 'taps' : 'settings';
      if (step.attribute === 'stp' || step.attribute === 'forward delay') return 'stp';
      return 'bridge';
    case 'add dummy':
    case 'remove link':
    case 'set sysctl':
      return 'settings';
    case 'allow in':
    case 'withdraw from':
      return 'foreign';
  }
}

/** What is wrong, where that can be said better than by what would be done. */
function whatIsWrong(step: Step, bridge: string): string {
  switch (step.do) {
    case 'add bridge':
      return `there is no bridge ${bridge}`;
    case 'add address':
      return `${bridge} lacks its ${describeStep(step).detail.replace(/,.*/, '')}`;
    case 'add route':
      return `no route to ${describeStep(step).detail} leads to ${bridge}`;
    case 'set link':
      if (step.attribute === 'state') return `${step.link} is ${step.from}`;
      if (step.attribute === 'bridge') return `${step.link} is not in ${bridge}`;
      return `${step.attribute} of ${step.link} is ${step.from}, not ${step.to}`;
    case 'set sysctl':
      return step.from === null ? `${step.key} is not set` : `${step.key} is ${step.from}, not ${step.to}`;
    case 'load rules': {
      const [drift] = step.drift;
      const own = `virlan's rules (${step.backend})`;
      if (drift === undefined) return `${own} are not there`;
      return `${own} were changed: ${drift.replace(/^- /, 'missing: ').replace(/^\+ /, 'added: ')}`;
    }
    case 'allow in':
      return `${step.firewall} has not been told to let ${step.bridge} through`;
    case 'withdraw from':
      return `${step.firewall} has more of ${step.bridge} than is needed`;
    case 'write reservations':
      return step.missing.length > 0
        ? `the hostsfile lacks ${step.missing[0]?.replace(/ # .*/, '')}`
        : `the hostsfile has a line too many: ${step.stale[0]?.replace(/ # .*/, '')}`;
    case 'start dnsmasq':
      return `no dnsmasq runs on ${bridge}`;
    case 'stop dnsmasq':
      return 'dnsmasq does not run with the configuration that virlan.ini calls for';
    case 'write file':
      return `${step.path} is ${step.from === null ? 'not there' : 'not what virlan.ini calls for'}`;
    default: {
      const { subject, detail } = describeStep(step);
      return `${subject}${detail === '' ? '' : ` ${detail}`}`;
    }
  }
}

function isRulesAnew(step: Step): boolean {
  return step.do === 'load rules' && step.drift.length === 0;
}

function judgeForwarding({ forwarding }: NetworkFacts, { survey }: HostFacts): Finding {
  const [step] = survey.steps;
  if (step?.do === 'set sysctl')
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
  if ('error' in uplink)
    return warning(
      'uplink',
      `this host itself has no way to the outside: ${uplink.error}`,
      'ip route show default',
    );
  const via = uplink.gateway === null ? '' : ` by ${uplink.gateway}`;
  return ok('uplink', `what machines send to the outside goes out on ${uplink.dev}${via}`);
}
