// peers.test.ts: tests what is concluded about the other hosts of a cluster, and how the status shows them.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { prefixOf } from '../../src/address/ip.ts';
import { judgePeer, type PeerReport, type PeerTrial, parsePathBytes } from '../../src/cluster/peer.ts';
import type { FoundTunnel } from '../../src/cluster/tunnel.ts';
import { largePing } from '../../src/diagnosis/large-ping.ts';
import { findingOfPeer } from '../../src/diagnosis/peer-finding.ts';
import type { Event } from '../../src/report/event.ts';
import { describeFault } from '../../src/report/status-text.ts';
import { sessionProblems, tunnelStatus } from '../../src/report/tunnel-status.ts';
import { PeerChecks } from '../../src/watcher/cluster/peer-checks.ts';
import { mergeStatus } from '../../src/watcher/status.ts';
import { config, ip } from './builders.ts';
import { keepAlive } from './keep-alive.ts';
import { networkStatus, statusOf, withoutProblems } from './status-builders.ts';

const peers = suite('peers');
keepAlive(peers);

const well: PeerTrial = { hasRoute: true, refusesVxlan: false, largePing: true, isReachable: true };

peers('a peer is judged by what it answers', () => {
  const cases: [Partial<PeerTrial>, PeerReport['answer']][] = [
    [{}, 'answers'],
    [{ largePing: false }, 'too-large'],
    [{ largePing: null }, 'unknown'],
    [{ largePing: false, isReachable: false }, 'silent'],
    [{ largePing: null, isReachable: false }, 'silent'],
    [{ refusesVxlan: true }, 'refuses'],
    [{ refusesVxlan: true, largePing: null }, 'refuses'],
    [{ hasRoute: false, largePing: false, isReachable: false }, 'no-route'],
  ];
  for (const [changes, answer] of cases)
    assert.equal(judgePeer({ ...well, ...changes }), answer, JSON.stringify(changes));
});

peers('the largest packet on a way is read from the route to it', () => {
  const route = { dst: '10.0.0.2', dev: 'lan', flags: [], uid: 0, cache: [] };
  assert.equal(parsePathBytes(JSON.stringify([{ ...route, metrics: [{ mtu: 1400 }] }])), 1400);
  assert.equal(parsePathBytes(JSON.stringify([{ ...route, metrics: [{ advmss: 1400 }] }])), null);
  assert.equal(parsePathBytes(JSON.stringify([route])), null);
  assert.equal(parsePathBytes(''), null);
});

peers('a ping of full size has the size of the whole packet', () => {
  assert.equal(largePing('10.0.0.2', 1500).join(' '), '-n -c 1 -W 1 -M do -s 1472 10.0.0.2');
});

const [onSeveral, alone] = config(
  [
    '[network.a]\nvni = 100\ndhcp-range = 192.168.100.10-192.168.100.20',
    '[network.b]\nsubnet = 10.0.1.0/24',
    '[cluster]\naddress = 10.9.0.1\npeers = 10.9.0.2, 10.9.0.3',
  ].join('\n'),
).networks;
assert(onSeveral && alone);

const [second, third] = [ip('10.9.0.2'), ip('10.9.0.3')];

function report(peer: PeerReport['peer'], answer: PeerReport['answer']): PeerReport {
  return { peer, answer, bytes: 1500, mtu: null };
}

const emptyTunnel: FoundTunnel = {
  bgp: null,
  link: { mac: '02:00:00:00:00:01' as never, mtu: 1450, end: null, master: 'a', up: true, isForEvpn: false },
  peers: [second],
  macsBehind: new Map([[third, 3]]),
  filter: { present: true, loaded: null, drift: [] },
};

const tunnel = tunnelStatus(onSeveral, emptyTunnel, []);

peers('the status has each peer as the kernel shows it', () => {
  const unasked = { answer: null, since: null };
  assert.deepEqual(tunnel, {
    vni: 100,
    link: 'a-vx',
    mtu: 1450,
    address: '10.9.0.1',
    bgp: null,
    peers: [
      { address: '10.9.0.2', listed: true, macs: 0, ...unasked },
      { address: '10.9.0.3', listed: false, macs: 3, ...unasked },
    ],
  });
  assert.equal(tunnelStatus(alone, null, []), null);
  const [first] = tunnelStatus(onSeveral, null, [])?.peers ?? [];
  assert.deepEqual(first, { address: '10.9.0.2', listed: false, macs: 0, ...unasked });
});

peers(
  'with BGP, the status has each neighbour, and hosts behind route reflectors are those that FRR knows',
  () => {
    const since = new Date('2026-11-22T10:00:00Z');
    const session = { neighbour: second, state: 'established', since, routes: 4, error: null } as const;
    const found = { ...emptyTunnel, peers: [third] };
    const evpn = { as: 65_000, hosts: null };
    const withBgp = { ...onSeveral, tunnel: { ...(onSeveral.tunnel ?? assert.fail()), evpn } };
    const status = tunnelStatus(withBgp, found, [session]);
    assert.deepEqual(status?.bgp, {
      as: 65_000,
      neighbours: [
        { address: '10.9.0.2', session: 'established', since: '2026-11-22T10:00:00Z', routes: 4 },
        { address: '10.9.0.3', session: null, since: null, routes: 0 },
      ],
    });
    assert.deepEqual(
      status?.peers.map(({ address, listed }) => [address, listed]),
      [
        ['10.9.0.2', false],
        ['10.9.0.3', true],
      ],
    );
    const hosts = prefixOf(ip('10.9.0.0'), 24);
    const reflected = { ...withBgp, tunnel: { ...withBgp.tunnel, evpn: { ...evpn, hosts } } };
    assert.deepEqual(
      tunnelStatus(reflected, found, [])?.peers.map(({ address }) => address),
      ['10.9.0.3'],
    );
    assert.deepEqual(tunnelStatus(reflected, null, [])?.peers, []);
    const ended = { ...session, state: 'active' as const };
    assert.deepEqual(
      sessionProblems([session, ended]).map(problem => describeFault(problem).fix?.command),
      ['virlan doctor'],
    );
  },
);

peers('the watcher adds the answers to the status, and a problem for each peer that fails', () => {
  const since = new Date('2026-11-22T10:00:00Z');
  const asked = [
    { ...report(second, 'answers'), since },
    { ...report(third, 'silent'), since },
  ];
  const status = statusOf({ ...networkStatus('a'), tunnel }, networkStatus('b'));
  const { networks } = mergeStatus(status, {
    ...withoutProblems,
    askedPeers: name => (name === 'a' ? asked : []),
  });
  assert.deepEqual(
    networks[0]?.tunnel?.peers.map(({ answer, since }) => [answer, since]),
    [
      ['answers', '2026-11-22T10:00:00Z'],
      ['silent', '2026-11-22T10:00:00Z'],
    ],
  );
  assert.deepEqual(
    networks[0]?.faults.map(({ code, fix }) => [code, fix?.command]),
    [['peer', 'ping -n -c 3 10.9.0.3']],
  );
  assert.deepEqual([networks[1]?.tunnel, networks[1]?.faults], [null, []]);
});

peers(
  'only networks with a tunnel are asked about; changes of answers are events, and keep their time',
  async () => {
    const events: Event[] = [];
    const askedAbout: string[] = [];
    let answer: PeerReport['answer'] = 'answers';
    const checks = new PeerChecks(
      () => [onSeveral, alone],
      each => events.push(...each),
      async ({ name }) => {
        askedAbout.push(name);
        return [report(second, 'answers'), report(third, answer)];
      },
    );
    await checks.request();
    const [, before] = checks.of('a');
    await checks.request();
    assert.equal(events.length, 2, 'the first answers');
    assert.equal(checks.of('a')[1]?.since, before?.since);
    answer = 'silent';
    await checks.request();
    assert.deepEqual(events.slice(2), [{ kind: 'peer-changed', network: 'a', report: checks.of('a')[1] }]);
    assert.notEqual(checks.of('a')[1]?.since, before?.since);
    assert.deepEqual(askedAbout, ['a', 'a', 'a']);
  },
);

peers('a network that is gone has no peers, and an error while asking is an event', async () => {
  const events: Event[] = [];
  const error = new Error('EIO');
  let networks = [onSeveral];
  let isBroken = false;
  const checks = new PeerChecks(
    () => networks,
    each => events.push(...each),
    async () => {
      if (isBroken) throw error;
      return [report(second, 'answers')];
    },
  );
  await checks.request();
  isBroken = true;
  await checks.request();
  assert.deepEqual(events.at(-1), { kind: 'failed', during: 'reconcile', error });
  assert.equal(checks.of('a').length, 1);
  networks = [];
  await checks.request();
  assert.deepEqual(checks.of('a'), []);
});

peers('each answer is a finding', () => {
  const context = { network: 'a', macs: 2 };
  const states = (['answers', 'unknown', 'no-route', 'silent', 'refuses', 'too-large'] as const).map(
    answer => findingOfPeer(report(second, answer), context).state,
  );
  assert.deepEqual(states, ['ok', 'warn', 'fail', 'fail', 'fail', 'fail']);
});

peers.run();
