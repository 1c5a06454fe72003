// The lines that bgpd of FRR needs, those that it has, and the commands in between.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import {
  type AddedBgp,
  bgpCommands,
  compareBgp,
  type FoundBgp,
  removeBgp,
  type Speaker,
  sharedLines,
  speakerOf,
} from '../../src/cluster/bgp.ts';
import { parseInstance } from '../../src/cluster/bgp-instance.ts';
import { judgeSession, type PortAnswer, parseSessions } from '../../src/cluster/bgp-sessions.ts';
import { bgpProblemText } from '../../src/network/steps/bgp-text.ts';
import { Bgpd } from '../../src/watcher/monitors/bgpd.ts';
import { config, ip } from './builders.ts';

const bgp = suite('bgp');

const speaker: Speaker = {
  as: 65_000,
  address: ip('10.0.0.1'),
  neighbours: [ip('10.0.0.2'), ip('10.0.0.3')],
};

/** The lines of virlan in an empty bgpd, as FRR 8.4 shows them. */
const whole = `frr version 8.4.4
frr defaults traditional
hostname one
!
router bgp 65000
 bgp router-id 10.0.0.1
 neighbor virlan peer-group
 neighbor virlan remote-as 65000
 neighbor virlan update-source 10.0.0.1
 neighbor virlan timers 3 9
 neighbor virlan timers connect 3
 neighbor 10.0.0.2 peer-group virlan
 neighbor 10.0.0.3 peer-group virlan
 !
 address-family ipv4 unicast
  no neighbor virlan activate
 exit-address-family
 !
 address-family l2vpn evpn
  neighbor virlan activate
  advertise-all-vni
 exit-address-family
exit
!
router bgp 65000 vrf blue
 bgp router-id 9.9.9.9
exit
!
end
`;

const nothing: AddedBgp = { instance: false, lines: [] };

const all: AddedBgp = {
  instance: true,
  lines: [
    { family: null, command: 'bgp router-id 10.0.0.1' },
    { family: 'l2vpn evpn', command: 'advertise-all-vni' },
  ],
};

function found(config: string, more: Partial<FoundBgp> = {}): FoundBgp {
  const instance = parseInstance(config);
  return {
    instance,
    speaker: speakerOf(instance),
    startup: null,
    added: nothing,
    isRecorded: false,
    isShared: false,
    failure: null,
    ...more,
  };
}

/** Returns the commands of a change, each with its sign. */
function changes(wanted: Speaker, before: FoundBgp): string[] {
  const change = compareBgp(wanted, before);
  return [
    ...(change?.surplus ?? []).map(({ command }) => `- ${command}`),
    ...(change?.missing ?? []).map(({ command }) => `+ ${command}`),
  ];
}

bgp('an empty bgpd gets everything, and the members of the group last', () => {
  const change = compareBgp(speaker, found(''));
  assert(change);
  assert.deepEqual(bgpCommands(change), [
    'configure terminal',
    'router bgp 65000',
    'bgp router-id 10.0.0.1',
    'neighbor virlan peer-group',
    'neighbor virlan remote-as 65000',
    'neighbor virlan update-source 10.0.0.1',
    'neighbor virlan timers 3 9',
    'neighbor virlan timers connect 3',
    'address-family ipv4 unicast',
    'no neighbor virlan activate',
    'exit-address-family',
    'address-family l2vpn evpn',
    'neighbor virlan activate',
    'advertise-all-vni',
    'exit-address-family',
    'neighbor 10.0.0.2 peer-group virlan',
    'neighbor 10.0.0.3 peer-group virlan',
  ]);
  assert.deepEqual(sharedLines(change.missing), all.lines);
  assert.equal(change.isNew, true);
});

bgp('a bgpd that has everything is left alone, and its speaker is known', () => {
  assert.equal(compareBgp(speaker, found(whole)), null);
  assert.deepEqual(found(whole).speaker, speaker);
});

bgp('the host has the instance without a VRF', () => {
  assert.equal(parseInstance('router bgp 65000 vrf blue\n bgp router-id 9.9.9.9\nexit\n'), null);
  assert.equal(parseInstance(''), null);
  assert.equal(parseInstance('router bgp 1.10 as-notation dot\n!\n')?.as, 65_546);
  assert.equal(parseInstance(whole)?.lines.length, 11);
});

/** Changes of the text of the complete configuration, and what is done about each. */
const drifts: [title: string, from: string, to: string, ...changes: string[]][] = [
  [
    'a neighbour is missing',
    ' neighbor 10.0.0.3 peer-group virlan\n',
    '',
    '+ neighbor 10.0.0.3 peer-group virlan',
  ],
  [
    'another neighbour',
    ' neighbor 10.0.0.3 peer',
    ' neighbor 10.0.0.3 peer-group virlan\n neighbor 10.0.0.9 peer',
    '- neighbor 10.0.0.9 peer-group virlan',
  ],
  ['other timers', 'timers 3 9', 'timers 60 180', '+ neighbor virlan timers 3 9'],
  ['no advertise-all-vni', '  advertise-all-vni\n', '', '+ advertise-all-vni'],
  ['without EVPN', '  neighbor virlan activate\n', '', '+ neighbor virlan activate'],
  ['with IPv4', '  no neighbor virlan activate\n', '', '+ no neighbor virlan activate'],
  ["the administrator's identifier", 'router-id 10.0.0.1', 'router-id 192.0.2.1'],
  [
    "the administrator's option of the group",
    ' neighbor virlan timers 3',
    ' neighbor virlan password x\n neighbor virlan timers 3',
  ],
  [
    'IPv4 is off by default, and not shown',
    ' address-family ipv4 unicast\n  no neighbor virlan activate\n exit-address-family\n',
    ' no bgp default ipv4-unicast\n',
  ],
];

for (const [title, from, to, ...expected] of drifts)
  bgp(`drift: ${title}`, () => {
    assert(whole.includes(from));
    assert.deepEqual(changes(speaker, found(whole.replace(from, to))), expected);
  });

bgp('IPv4 that is on for the group against the default is switched off', () => {
  const config = whole
    .replace(' address-family ipv4', ' no bgp default ipv4-unicast\n address-family ipv4')
    .replace('no neighbor virlan activate', 'neighbor virlan activate');
  assert.deepEqual(changes(speaker, found(config)), ['+ no neighbor virlan activate']);
});

bgp('what neighbours carry by default is what FRR does not show', () => {
  const config = `router bgp 65000
 bgp default local-preference 200
 bgp default ipv4-labeled-unicast
 bgp default ipv6-unicast
 bgp default l2vpn-evpn
 neighbor 10.0.0.2 remote-as 65000
exit
`;
  const change = compareBgp(speaker, found(config)) ?? assert.fail();
  // The administrator's neighbour carries EVPN.
  assert.equal(change.problem, null);
  const inFamilies = change.missing.filter(({ family }) => family !== null);
  assert.deepEqual(
    inFamilies.map(({ family, command }) => `${family}: ${command}`),
    [
      'ipv4 unicast: no neighbor virlan activate',
      'ipv4 labeled-unicast: no neighbor virlan activate',
      'ipv6 unicast: no neighbor virlan activate',
      'l2vpn evpn: advertise-all-vni',
    ],
  );
  const silent = config.replace(
    'exit',
    ' address-family l2vpn evpn\n  no neighbor 10.0.0.2 activate\n exit-address-family\nexit',
  );
  assert.equal(compareBgp(speaker, found(silent))?.problem?.kind, 'own-neighbour');
});

bgp('another address of the host replaces the identifier that virlan set', () => {
  const moved = { ...speaker, address: ip('10.0.0.7') };
  const update = '+ neighbor virlan update-source 10.0.0.7';
  assert.deepEqual(changes(moved, found(whole, { added: all })), ['+ bgp router-id 10.0.0.7', update]);
  assert.deepEqual(changes(moved, found(whole)), [update]);
});

bgp('another AS replaces an instance that is wholly of virlan', () => {
  const other = { ...speaker, as: 65_001 };
  const change = compareBgp(other, found(whole, { added: all }));
  assert.equal(change?.problem, null);
  const commands = bgpCommands(change ?? assert.fail());
  assert.deepEqual(commands.slice(0, 3), ['configure terminal', 'no router bgp 65000', 'router bgp 65001']);
  assert.equal(compareBgp(other, found(whole))?.problem?.kind, 'other-as');
  const shared = whole.replace(' !', ' neighbor 192.0.2.9 remote-as 64999\n !');
  assert.equal(compareBgp(other, found(shared, { added: all }))?.problem?.kind, 'other-as');
});

const own = `router bgp 65000
 neighbor 10.0.0.2 remote-as 65000
 neighbor fabric peer-group
 neighbor 10.0.0.3 peer-group fabric
 !
 address-family l2vpn evpn
  neighbor fabric activate
 exit-address-family
exit
`;

bgp("the administrator's neighbours are used where they carry EVPN, and refused otherwise", () => {
  const change = compareBgp(speaker, found(own));
  assert.deepEqual(change?.problem, { kind: 'own-neighbour', neighbour: ip('10.0.0.2'), as: 65_000 });
  assert(!change?.missing.some(({ command }) => command.includes('10.0.0.3')));
  const carries = own.replace(
    'neighbor fabric activate',
    'neighbor fabric activate\n  neighbor 10.0.0.2 activate',
  );
  assert.equal(compareBgp(speaker, found(carries))?.problem, null);
  assert.deepEqual(
    compareBgp(speaker, found(whole, { startup: parseInstance(own) }))?.problem?.kind,
    'own-neighbour',
  );
});

bgp('what FRR reads at its next start is not contradicted', () => {
  const startup = parseInstance('router bgp 64999\n neighbor 192.0.2.9 remote-as 64999\n');
  const problem = compareBgp(speaker, found(whole, { startup }))?.problem ?? assert.fail();
  assert.deepEqual(problem, { kind: 'other-as', as: 64_999, wanted: 65_000, isSaved: true });
  assert.match(
    bgpProblemText(problem),
    /^\/etc\/frr\/frr\.conf has router bgp 64999, and \[cluster\] has as = 65000/,
  );
});

bgp('a bgpd that does not run lacks everything, and says so', () => {
  const failure = { kind: 'not-running', program: 'bgpd' } as const;
  const change = compareBgp(speaker, found('', { failure }));
  assert.equal(change?.problem, failure);
  assert.match(bgpProblemText(failure), /^bgpd of FRR does not run, .*systemctl restart frr$/);
  assert.equal(removeBgp(found('', { failure })), null);
  assert.equal(removeBgp(found('', { failure, isRecorded: true }))?.problem, null);
});

bgp('an instance that virlan made is removed as a whole', () => {
  const change = removeBgp(found(whole, { added: all, isRecorded: true }));
  assert.deepEqual(bgpCommands(change ?? assert.fail()), ['configure terminal', 'no router bgp 65000']);
});

bgp("of the administrator's instance, virlan's lines are removed alone", () => {
  const added = { ...all, instance: false };
  const change = removeBgp(found(whole, { added, isRecorded: true }));
  assert.deepEqual(bgpCommands(change ?? assert.fail()), [
    'configure terminal',
    'router bgp 65000',
    'no bgp router-id 10.0.0.1',
    'no neighbor virlan peer-group',
    'address-family l2vpn evpn',
    'no advertise-all-vni',
  ]);
  const theirs = removeBgp(found(whole, { isRecorded: true }));
  assert.deepEqual(bgpCommands(theirs ?? assert.fail()).slice(2), ['no neighbor virlan peer-group']);
});

bgp('an instance to which somebody added something stays', () => {
  const shared = whole.replace(' !', ' neighbor 192.0.2.9 remote-as 64999\n !');
  const change = removeBgp(found(shared, { added: all, isRecorded: true }));
  assert.equal(change?.removes, null);
  assert(bgpCommands(change ?? assert.fail()).every(command => !command.includes('192.0.2.9')));
});

bgp('where virlan has nothing, nothing is removed', () => {
  assert.equal(removeBgp(found(own)), null);
});

/** As FRR 8.4.4 shows it, without what is not read. */
const neighbours = JSON.stringify({
  '10.0.0.2': {
    bgpState: 'Established',
    bgpTimerUpEstablishedEpoch: 1_795_808_393,
    lastErrorCodeSubcode: '0202',
    addressFamilyInfo: { l2VpnEvpn: { acceptedPrefixCounter: 2 } },
  },
  '10.0.0.3': {
    bgpState: 'Idle',
    lastResetTimerMsecs: 4000,
    lastErrorCodeSubcode: '0202',
    addressFamilyInfo: { l2VpnEvpn: { acceptedPrefixCounter: 0 } },
  },
  '192.0.2.9': { bgpState: 'Established', addressFamilyInfo: { ipv4Unicast: {} } },
  'fe80::1': { bgpState: 'Established', addressFamilyInfo: { l2VpnEvpn: {} } },
  '10.0.0.4': { bgpState: { a: 1 }, addressFamilyInfo: { l2VpnEvpn: { acceptedPrefixCounter: 'x' } } },
});

bgp('sessions that carry EVPN are read, in whatever form', () => {
  const now = new Date('2026-11-22T10:00:00Z');
  assert.deepEqual(parseSessions(neighbours, now), [
    {
      neighbour: ip('10.0.0.2'),
      state: 'established',
      since: new Date(1_795_808_393_000),
      routes: 2,
      error: null,
    },
    {
      neighbour: ip('10.0.0.3'),
      state: 'idle',
      since: new Date('2026-11-22T09:59:56Z'),
      routes: 0,
      error: 'other-as',
    },
    { neighbour: ip('10.0.0.4'), state: 'unknown', since: null, routes: 0, error: null },
  ]);
  assert.deepEqual(parseSessions('', now), []);
});

const down = { state: 'active', error: null } as const;
const otherAs = { state: 'idle', error: 'other-as' } as const;

bgp(
  'the reason why there is no session is what the neighbour answers now, or else what was said last',
  () => {
    const asked = (port: PortAnswer, isReachable = false) => ({ port, isReachable });
    assert.equal(judgeSession({ ...otherAs, state: 'established' }, null), 'established');
    assert.equal(judgeSession(otherAs, asked('no-route')), 'without-route');
    assert.equal(judgeSession(otherAs, asked('refused')), 'refused');
    assert.equal(judgeSession(otherAs, asked('silence')), 'silent');
    assert.equal(judgeSession(otherAs, asked('silence', true)), 'blocked');
    assert.equal(judgeSession(otherAs, asked('accepted')), 'other-as');
    assert.equal(judgeSession(down, asked('accepted')), 'not-established');
    assert.equal(judgeSession(down, null), 'not-established');
  },
);

bgp('a process of bgpd that begins or ends is noticed, where virlan.ini has BGP', () => {
  let process: string | null = '7 100';
  const bgpd = new Bgpd(() => process);
  const [alone] = config('').networks;
  const [withBgp] = config(
    '[network.a]\nvni = 1\ndhcp-range = 192.168.100.10-192.168.100.19\n[cluster]\naddress = 10.0.0.1\npeers = 10.0.0.2\nas = 65000\n',
  ).networks;
  assert(alone && withBgp);
  assert.equal(bgpd.hasChanged([alone]), false);
  assert.equal(bgpd.hasChanged([alone, withBgp]), true);
  assert.equal(bgpd.hasChanged([withBgp]), false);
  process = '7 200';
  assert.equal(bgpd.hasChanged([withBgp]), true);
  process = null;
  assert.equal(bgpd.hasChanged([withBgp]), true);
});

bgp.run();
