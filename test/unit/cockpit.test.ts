// cockpit.test.ts: tests what the page for Cockpit shows: rows, picture, history, plan, checklist, connection.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { absenceOf, StatusLines } from '../../contrib/cockpit/src/model/connection.ts';
import { addLines, bySubject, emptyChecklist } from '../../contrib/cockpit/src/model/doctor.ts';
import { emptyForward, forwardText, isComplete } from '../../contrib/cockpit/src/model/forward.ts';
import { healthOf } from '../../contrib/cockpit/src/model/health.ts';
import { historyOf } from '../../contrib/cockpit/src/model/history.ts';
import { filterRows, rowsOf, sortRows } from '../../contrib/cockpit/src/model/machine-rows.ts';
import { etcdRow, memberRow, neighbourRow, peerRow } from '../../contrib/cockpit/src/model/peers.ts';
import { boxHeight, pictureOf } from '../../contrib/cockpit/src/model/picture.ts';
import { readPlan } from '../../contrib/cockpit/src/model/plan.ts';
import { parseForward } from '../../src/config/forward.ts';
import type { SharedStatus } from '../../src/report/cluster-status.ts';
import type { MachineStatus } from '../../src/report/machines.ts';
import type { Fault, NetworkStatus } from '../../src/report/status.ts';
import { machineStatus, networkStatus } from './status-builders.ts';

const page = suite('cockpit page');

const hostile = '<img src=x onerror=alert(1)>\u202e';

function machine(number: number, changes: Partial<MachineStatus> = {}): MachineStatus {
  return machineStatus(number, `web${number}`, {
    hostname: `web${number}`,
    tap: `vnet${number}`,
    lease: { ip: `192.168.100.${number}`, expires: '2026-11-22T10:01:00Z' },
    ...changes,
  });
}

function network(machines: readonly MachineStatus[], changes: Partial<NetworkStatus> = {}): NetworkStatus {
  const probe = { at: '2026-11-22T10:00:00Z', passed: true, check: null, seen: null };
  return { ...networkStatus('lab', ...machines), bridge: 'lab-br', probe, ...changes };
}

function fault(code: Fault['code']): Fault {
  return { code, text: code, fix: null };
}

function names(rows: readonly { readonly name: string }[]): string[] {
  return rows.map(({ name }) => name);
}

page('machines are sorted by any column, numbers by their value', () => {
  const rows = rowsOf(network([machine(10), machine(9, { state: 'shut off' }), machine(100, { name: 'a' })]));
  const sorted = (column: 'name' | 'address' | 'state', direction: 'asc' | 'desc') =>
    names(sortRows(rows, { column, direction }));
  assert.deepEqual(sorted('name', 'asc'), ['a', 'web9', 'web10']);
  assert.deepEqual(sorted('address', 'asc'), ['web9', 'web10', 'a']);
  assert.deepEqual(sorted('address', 'desc'), ['a', 'web10', 'web9']);
  assert.deepEqual(sorted('state', 'asc'), ['a', 'web10', 'web9']);
});

page('machines are found by words in any column, by state and by problems', () => {
  const forward = { forward: 'tcp/8443:443', source: 'metadata', active: false, problem: 'taken' } as const;
  const rows = rowsOf(
    network([
      machine(1, { aliases: ['shop'], forwards: [forward] }),
      machine(2, { state: 'shut off', lease: null }),
      machine(3, { name: hostile, problem: 'no address', guard: { mode: 'strict', group: 'a' } }),
    ]),
  );
  const found = (text: string, state: 'all' | 'running' | 'shut off' | 'problems' = 'all') =>
    names(filterRows(rows, { text, state }));
  assert.deepEqual(found('SHOP'), ['web1']);
  assert.deepEqual(found('192.168.100.2'), ['web2']);
  assert.deepEqual(found('tcp/8443 web1'), ['web1']);
  assert.deepEqual(found('tcp/8443 web2'), []);
  assert.deepEqual(found('group a'), [hostile]);
  assert.deepEqual(found('', 'shut off'), ['web2']);
  assert.deepEqual(found('', 'problems'), ['web1', hostile]);
  assert.deepEqual(rows[0]?.problems, ['taken']);
  assert.deepEqual([rows[2]?.guard, rows[0]?.names], ['strict, group a', 'web1, shop']);
});

page('a network is broken, worth a warning, or well', () => {
  const failed = { at: '', passed: false, check: 'probe-return', seen: '' } as const;
  const cases: [NetworkStatus, string][] = [
    [network([machine(1)]), 'well'],
    [network([machine(1, { problem: 'p' })]), 'warning'],
    [network([], { faults: [fault('no-dummy')] }), 'warning'],
    [network([], { faults: [fault('drift')] }), 'broken'],
    [network([], { up: false }), 'broken'],
    [network([], { probe: failed }), 'broken'],
  ];
  for (const [status, health] of cases) assert.equal(healthOf(status), health);
});

/** Returns the states of the boxes that are not machines, and of the ways between them. */
function trunkOf(status: NetworkStatus) {
  const { boxes, ways } = pictureOf(status, 800);
  return {
    boxes: boxes.filter(({ kind }) => kind !== 'machine').map(({ kind, state }) => `${kind} ${state}`),
    ways: ['outside host', 'host bridge'].map(key => ways.find(way => way.key === key)?.state),
  };
}

page('the picture shows where the way of packets is broken', () => {
  const well = { boxes: ['outside works', 'host works', 'bridge works'], ways: ['works', 'works'] };
  assert.deepEqual(trunkOf(network([machine(1)])), well);
  const probe = (check: 'probe-lease' | 'probe-return') => ({ at: '', passed: false, check, seen: '' });
  assert.deepEqual(trunkOf(network([], { probe: probe('probe-return') })).ways, ['broken', 'works']);
  assert.deepEqual(trunkOf(network([], { probe: probe('probe-lease') })).ways, ['unknown', 'broken']);
  assert.deepEqual(trunkOf(network([], { mode: 'isolated' })).ways, ['off', 'works']);
  assert.deepEqual(trunkOf(network([], { up: false, dnsmasq: { running: false, pid: null } })), {
    boxes: ['outside works', 'host broken', 'bridge broken'],
    ways: ['works', 'broken'],
  });
  const down = pictureOf(network([machine(1)], { up: false }), 800);
  assert.equal(down.ways.at(-1)?.state, 'broken');
  assert.match(down.description, /^lab: 1 machines, 1 running; broken: lab-br$/);
});

page('the picture of a thousand machines has few boxes within it, those with problems first', () => {
  const many = Array.from({ length: 1000 }, (_, index) =>
    machine(index, index === 998 ? { problem: 'p' } : index % 2 === 0 ? {} : { state: 'shut off' }),
  );
  for (const width of [240, 360, 800, 1100]) {
    const { boxes, ways, height } = pictureOf(network(many), width);
    const machines = boxes.filter(({ kind }) => kind === 'machine');
    assert(machines.length < 20, `${machines.length} at ${width}`);
    assert.equal(machines[0]?.state, 'broken');
    assert.equal(boxes.at(-1)?.title, `${1000 - machines.length} more`);
    assert.equal(ways.length, machines.length + 3);
    for (const box of boxes) {
      assert(box.x >= 0 && box.x + box.width <= width + 0.01, `${box.title} at ${width}`);
      assert(box.y + boxHeight <= height);
    }
  }
});

page('a history has the events of a machine and the repairs of its network, newest first', () => {
  const line = (fields: object) => JSON.stringify({ level: 30, time: '2026-11-22T10:00:00.123Z', ...fields });
  const log = [
    'half a line"}',
    line({
      code: 'reservation',
      msg: 'address reserved',
      uuid: 'u',
      network: 'lab',
      ip: '10.0.0.2',
      mac: 'm',
    }),
    line({ code: 'reservation', msg: 'address reserved', uuid: 'other', network: 'lab', ip: '10.0.0.3' }),
    line({ code: 'macs-assigned', msg: 'MAC assigned', uuid: 'u', macs: ['a'], was: ['b'] }),
    line({ code: 'network-repaired', msg: 'network repaired', network: 'lab', missing: ['rules'] }),
    line({ code: 'network-repaired', msg: 'network repaired', network: 'other', missing: ['rules'] }),
    line({ code: 'probed', msg: 'probe', network: 'lab' }),
    line({ level: 40, code: 'forward-refused', msg: hostile, uuid: 'u', network: 'lab' }),
    '[1]',
    'null',
  ].join('\n');
  assert.deepEqual(
    historyOf(log, 'u', 'lab').map(({ level, text, details }) => [level, text, ...details]),
    [
      ['warning', hostile],
      ['info', 'network repaired', 'rules'],
      ['info', 'MAC assigned', 'a', 'was b'],
      ['info', 'address reserved', '10.0.0.2', 'm'],
    ],
  );
  assert.equal(historyOf(log, 'u', 'lab')[0]?.time, '2026-11-22T10:00:00Z');
  const long = Array.from({ length: 500 }, () => line({ code: 'reservation', msg: 'm', uuid: 'u' })).join(
    '\n',
  );
  assert.equal(historyOf(long, 'u', 'lab').length, 100);
});

page('a plan is its groups with changes', () => {
  const step = { do: 'start dnsmasq', text: '+ dnsmasq', sign: '+', lines: [] };
  const output = JSON.stringify({ changes: 1, host: [], 'network lab': [step] });
  assert.deepEqual(
    readPlan(output).map(({ title, changes }) => [title, changes.map(({ sign, text }) => [sign, text])]),
    [['network lab', [['+', '+ dnsmasq']]]],
  );
  assert.deepEqual(readPlan('{"changes": 0, "host": []}'), []);
});

page('a checklist grows subject by subject, and ends with the order of the doctor', () => {
  const check = (about: string, state: string) => ({ about, check: 'c', state, seen: 's', fix: null });
  const lines = [
    { checks: [check('network lab', 'fail')] },
    { checks: [check('host', 'ok')] },
    { checks: [check('network lab', 'ok')] },
    { well: true, mended: [{ seen: 'drift' }], checks: [check('host', 'ok'), check('network lab', 'ok')] },
  ].map(line => `${JSON.stringify(line)}\n`);
  const states = (count: number) => {
    const text = lines.slice(0, count).join('');
    // Cut within lines, as a channel may.
    const list = (text.match(/[\s\S]{1,7}/g) ?? []).reduce(addLines, emptyChecklist);
    return [bySubject(list.checks).map(([about, [first]]) => `${about} ${first?.state}`), list.result];
  };
  assert.deepEqual(states(1), [['network lab fail'], null]);
  assert.deepEqual(states(2), [['network lab fail', 'host ok'], null]);
  assert.deepEqual(states(3), [['host ok', 'network lab ok'], null]);
  assert.deepEqual(states(4), [['host ok', 'network lab ok'], { well: true, repaired: ['drift'] }]);
});

page('a forward that is typed is one that virlan reads', () => {
  for (const [form, text] of [
    [{ port: ' 8443 ', to: '443' }, 'tcp/8443:443'],
    [{ protocol: 'udp', port: '30000-30010' }, 'udp/30000-30010'],
    [{ port: '22', from: '10.0.0.0/8' }, 'tcp/22 from 10.0.0.0/8'],
  ] as const) {
    const typed = { ...emptyForward, ...form };
    assert(isComplete(typed), text);
    assert.equal(forwardText(typed), text);
    assert.notEqual(parseForward(text), null, text);
  }
  for (const form of [
    {},
    { port: '0' },
    { port: '65536' },
    { port: '1-2-3' },
    { port: '80', to: 'x' },
    { port: '-' },
  ])
    assert(!isComplete({ ...emptyForward, ...form }), JSON.stringify(form));
});

page('the newest whole line of the stream counts, and an end says what to do', () => {
  const lines = new StatusLines();
  const status = { virlan: '1', watcher: {}, networks: [], notes: [] };
  const text = JSON.stringify(status);
  assert.equal(lines.push(text.slice(0, 9)), null);
  assert.deepEqual(lines.push(`${text.slice(9)}\n${text.replace('1', '2')}\n{"er`), {
    status: { ...status, virlan: '2' },
    absence: null,
  });
  assert.deepEqual(lines.push('ror":"no nft"}\n'), {
    status: null,
    absence: { kind: 'unreadable', reason: 'no nft' },
  });
  assert.deepEqual(
    ['access-denied', 'not-found', null, 'internal-error'].map(problem => absenceOf(problem, 'm').kind),
    ['no-privileges', 'no-watcher', 'no-watcher', 'failed'],
  );
});

page('another host of the cluster has its answer, and whether the tunnel leads to it', () => {
  const peer = { address: '10.0.0.2', listed: true, macs: 1, answer: 'answers', since: null } as const;
  const rows = [
    peer,
    { ...peer, answer: null, macs: 0 },
    { ...peer, answer: 'too-large' as const },
    { ...peer, listed: false },
  ].map(each => {
    const { state, text, more } = peerRow(each);
    return [state, text, more];
  });
  assert.deepEqual(rows, [
    ['ok', 'answers', '1 MAC seen there'],
    ['skipped', 'not asked yet', '0 MACs seen there'],
    ['fail', 'answers, but not to packets of full size', '1 MAC seen there'],
    ['fail', 'answers', '1 MAC seen there; the tunnel does not lead to it'],
  ]);
});

page('a neighbour in BGP is a failure as long as its session is not established', () => {
  const neighbour = { address: '10.9.0.2', since: null, routes: 1 };
  const rows = (['established', 'active', null] as const).map(session => {
    const { state, text, more } = neighbourRow({ ...neighbour, session });
    return [state, text, more];
  });
  assert.deepEqual(rows, [
    ['ok', 'session established', '1 route from there'],
    ['fail', 'session active', '1 route from there'],
    ['fail', 'not configured', '1 route from there'],
  ]);
});

const etcd = {
  connected: true,
  endpoint: 'https://10.0.0.11:2379',
  since: '2026-11-22T10:00:00Z',
  error: null,
} as const;
const shared: SharedStatus = { etcd, freeAddresses: 1, hosts: [], machines: [] };

page('the shared ledger has a connection and hosts, and says why it has none', () => {
  const error = 'https://10.0.0.11:2379 does not answer';
  const rows = [
    etcdRow(shared),
    etcdRow({ ...shared, etcd: { ...etcd, connected: false, error }, freeAddresses: 16 }),
    etcdRow({ ...shared, etcd: null }),
    ...[true, false, null].map(alive => memberRow({ address: '10.0.0.2', alive, machines: 2 })),
  ].map(({ state, text, more }) => [state, text, more]);
  assert.deepEqual(rows, [
    ['ok', 'connected to https://10.0.0.11:2379', '1 address in reserve'],
    ['fail', `away: ${error}`, '16 addresses in reserve'],
    ['skipped', 'not asked yet', '1 address in reserve'],
    ['ok', 'its watcher runs', '2 machines'],
    ['warn', 'away', '2 machines'],
    ['skipped', 'not known while etcd is away', '2 machines'],
  ]);
});

page('machines of other hosts are found by their host, and have no state here', () => {
  const { uuid, nic, mac, ip } = machine(9);
  const remote = { uuid, nic, mac, ip, name: hostile, hostname: 'db', host: '10.0.0.2' };
  const rows = rowsOf(network([machine(1)], { shared: { ...shared, machines: [remote] } }));
  const found = (text: string, state: 'all' | 'running' | 'elsewhere' | 'problems' = 'all') =>
    names(filterRows(rows, { text, state }));
  assert.deepEqual(found(''), ['web1', hostile]);
  assert.deepEqual(found('10.0.0.2'), [hostile]);
  assert.deepEqual(found('', 'elsewhere'), [hostile]);
  assert.deepEqual(found('', 'running'), ['web1']);
  assert.deepEqual(found('', 'problems'), []);
  assert.deepEqual([rows[1]?.state, rows[1]?.address, rows[1]?.names], ['on 10.0.0.2', ip, 'db']);
});

page('the page is of Cockpit alone: no script in the document, and a policy that forbids it', () => {
  const html = readFileSync('contrib/cockpit/index.html', 'utf8');
  assert.doesNotMatch(html, /<script>|<style|style=|\son\w+=|https?:/);
  const manifest = JSON.parse(readFileSync('contrib/cockpit/manifest.json', 'utf8'));
  assert.equal(manifest.name, 'virlan');
  assert.doesNotMatch(manifest['content-security-policy'], /unsafe|http|\*/);
});

page.run();
