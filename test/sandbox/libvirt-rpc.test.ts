// node-libvirt with a real libvirtd: every call and event, and a libvirtd that hangs, restarts or crashes.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import {
  type Connected,
  ConnectionError,
  type Disconnected,
  DomainAffect,
  DomainDefine,
  DomainState,
  DomainXml,
  ErrorCode,
  isNoDomain,
  isNoDomainMetadata,
  isNoNetwork,
  isNoSuchProcedure,
  LibvirtClient,
  type LibvirtClientOptions,
  type LibvirtEvent,
  ListDomains,
  ListNetworks,
  MetadataType,
  type Notice,
} from 'node-libvirt';
import { suite } from 'uvu';
import {
  checkout,
  create,
  define,
  destroyMachine,
  domainXml,
  killLibvirtd,
  libvirtdLog,
  startLibvirtd,
  startMachine,
  stopLibvirtd,
  undefine,
  virsh,
} from './host.ts';
import { olderLibvirtd } from './older-libvirtd.ts';

/** Starts a client; its events of each kind are collected in arrays. */
function watch(options: LibvirtClientOptions = {}) {
  const client = new LibvirtClient({ reconnect: { minMs: 50, maxMs: 500 }, ...options });
  const connected: Connected[] = [];
  const disconnected: Disconnected[] = [];
  const events: LibvirtEvent[] = [];
  const notices: Notice[] = [];
  client.on('connected', value => connected.push(value));
  client.on('disconnected', value => disconnected.push(value));
  client.on('event', value => events.push(value));
  client.on('notice', value => notices.push(value));
  client.start();
  return { client, connected, disconnected, events, notices };
}

/** Waits until the condition holds; throws with `what` if it does not in time. */
async function until(condition: () => unknown, what: string, limitMs = 10_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(5);
  }
}

/** Returns an event as a short text, to compare lists of them. */
function short(event: LibvirtEvent): string {
  switch (event.kind) {
    case 'domain-lifecycle':
      return `${event.domain.name} ${event.event} ${event.detail}`;
    case 'network-lifecycle':
      return `${event.network.name} ${event.event}`;
    case 'metadata-change':
      return `${event.domain.name} metadata ${event.metadataType} ${event.uri}`;
    case 'device-added':
    case 'device-removed':
      return `${event.domain.name} ${event.kind} ${event.alias}`;
  }
}

/** Waits until all of the wanted events have arrived. */
function seen(events: LibvirtEvent[], ...wanted: string[]): Promise<void> {
  return until(
    () => wanted.every(text => events.some(event => short(event) === text)),
    `${wanted.join(', ')} among ${events.map(short).join(', ')}`,
  );
}

function pidOfLibvirtd(): number {
  return Number(readFileSync('/run/libvirtd.pid', 'utf8'));
}

const networkXml = `<network><name>n1</name><bridge name='n1br'/><ip address='10.77.0.1' netmask='255.255.255.0'/></network>`;

const rpc = suite('libvirt-rpc');

// The client of most tests; it stays connected until libvirtd is frozen.
const main = watch({ keepalive: { intervalMs: 400, count: 2 } });
const { client } = main;

rpc('a client that is started before libvirtd waits for it, also while it starts slowly', async () => {
  await until(() => main.notices.length >= 2, 'two attempts without a socket');
  for (const notice of main.notices) {
    assert(notice.kind === 'connect-failed' && notice.error.failure === 'connect', JSON.stringify(notice));
  }
  await assert.rejects(client.connectListAllDomains(), { name: 'ConnectionError', failure: 'not-connected' });

  // libvirtd autostarts the default network, and runs this hook for it, before it answers any client.
  writeFileSync('/etc/libvirt/hooks/network', '#!/bin/sh\n[ "$2" != start ] || sleep 3\n', { mode: 0o755 });
  // It disconnects a client that does not answer its keepalive requests within 3 s.
  writeFileSync('/etc/libvirt/libvirtd.conf', 'keepalive_interval = 1\nkeepalive_count = 2\n');
  const started = startLibvirtd();
  await until(() => existsSync('/run/libvirt/libvirt-sock'), 'the socket');
  const socketCreated = Date.now();
  const attempts = main.notices.length;
  await until(() => main.connected.length > 0, 'connected');
  assert(Date.now() - socketCreated > 2_000, 'libvirtd did not start slowly');
  assert(main.notices.length - attempts <= 2, 'the client kept on connecting while libvirtd started');
  await started;
  rmSync('/etc/libvirt/hooks/network');
  assert.deepEqual(main.connected, [
    { socket: '/run/libvirt/libvirt-sock', drivers: ['domain', 'network'], missingEvents: [] },
  ]);
});

rpc('machines: every procedure', async () => {
  const uuid = '6e1b0f4e-3f5d-4e8a-9d6c-0123456789ab';
  const xml = domainXml({ name: 'ünï <code>', uuid, nics: [{ type: 'network', source: 'default' }] });
  const dom = await client.domainDefineXmlFlags(xml, DomainDefine.VALIDATE);
  assert.deepEqual(dom, { name: 'ünï <code>', uuid, id: -1 });
  assert.deepEqual(await client.domainLookupByName(dom.name), dom);
  assert.deepEqual(await client.domainLookupByUuid(uuid), dom);
  assert.deepEqual(await client.connectListAllDomains(), [dom]);
  assert.deepEqual(await client.connectListAllDomains(ListDomains.ACTIVE), []);
  assert.equal(await client.domainIsActive(dom), false);
  assert.equal(await client.domainIsPersistent(dom), true);
  assert.equal(await client.domainHasManagedSaveImage(dom), false);
  assert.equal((await client.domainGetState(dom)).state, DomainState.SHUTOFF);
  assert.match(
    await client.domainGetXmlDesc(dom, DomainXml.SECURE | DomainXml.INACTIVE),
    /<domain type='qemu'>/,
  );

  const { ELEMENT, TITLE } = MetadataType;
  await client.domainSetMetadata(dom, ELEMENT, '<note>é</note>', 'x', 'urn:x', DomainAffect.CONFIG);
  assert.match(
    await client.domainGetMetadata(dom, ELEMENT, 'urn:x', DomainAffect.CONFIG),
    /<note.*>é<\/note>/,
  );
  await client.domainSetMetadata(dom, TITLE, 'a title', null, null, DomainAffect.CONFIG);
  assert.equal(await client.domainGetMetadata(dom, TITLE, null), 'a title');
  await client.domainSetMetadata(dom, ELEMENT, null, null, 'urn:x', DomainAffect.CONFIG);
  await assert.rejects(client.domainGetMetadata(dom, ELEMENT, 'urn:x'), isNoDomainMetadata);

  await virsh('start', '--domain', uuid);
  const running = await client.domainLookupByUuid(uuid);
  assert(running.id > 0);
  assert.equal(await client.domainIsActive(dom), true);
  assert.deepEqual(await client.domainGetState(dom), { state: DomainState.RUNNING, reason: 1 });
  assert.deepEqual(await client.connectListAllDomains(ListDomains.ACTIVE), [running]);
  await virsh('managedsave', uuid);
  assert.equal(await client.domainHasManagedSaveImage(dom), true);
  await virsh('undefine', '--managed-save', uuid);
  await seen(
    main.events,
    'ünï <code> defined added',
    'ünï <code> metadata 2 urn:x',
    'ünï <code> metadata 1 null',
    'ünï <code> started booted',
    'ünï <code> stopped saved',
    'ünï <code> undefined removed',
  );
});

rpc('networks: every procedure, and their events', async () => {
  assert.deepEqual(await client.connectGetLibVersion(), Number(await libraryVersion()));
  const net = await client.networkDefineXml(networkXml);
  assert.equal(net.name, 'n1');
  assert.match(net.uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.deepEqual(await client.networkLookupByName('n1'), net);
  assert.equal(await client.networkIsActive(net), false);
  assert.equal(await client.networkIsPersistent(net), true);
  assert.equal(await client.networkGetAutostart(net), false);
  await client.networkSetAutostart(net, true);
  assert.equal(await client.networkGetAutostart(net), true);
  assert.equal(await client.networkGetBridgeName(net), 'n1br');
  assert.match(await client.networkGetXmlDesc(net), /<name>n1<\/name>/);
  await client.networkCreate(net);
  assert.equal(await client.networkIsActive(net), true);
  const names = async (flags: number) =>
    (await client.connectListAllNetworks(flags)).map(({ name }) => name).sort();
  assert.deepEqual(await names(0), ['default', 'n1']);
  assert.deepEqual(await names(ListNetworks.INACTIVE), []);
  assert.deepEqual(await names(ListNetworks.ACTIVE), ['default', 'n1']);
  await client.networkDestroy(net);
  await client.networkUndefine(net);
  await seen(main.events, 'n1 defined', 'n1 started', 'n1 stopped', 'n1 undefined');
});

/** Returns the version that virsh prints: "Running against daemon: 9.0.0". */
async function libraryVersion(): Promise<number> {
  const [, major, minor, release] = /Running against daemon: (\d+)\.(\d+)\.(\d+)/.exec(
    await virsh('version', '--daemon'),
  ) ?? ['', '0', '0', '0'];
  return Number(major) * 1_000_000 + Number(minor) * 1_000 + Number(release);
}

rpc('events of a machine from its definition to its removal, devices included', async () => {
  main.events.length = 0;
  const xml = domainXml({ name: 'vm1', nics: [] }).replace('</os>', '</os><features><acpi/></features>');
  await define(xml);
  await define(await client.domainGetXmlDesc(await client.domainLookupByName('vm1')));
  await virsh('domrename', 'vm1', 'vm2');
  await startMachine('vm2');
  await virsh('suspend', 'vm2');
  await virsh('resume', 'vm2');
  writeFileSync(
    '/tmp/nic.xml',
    `<interface type='network'><source network='default'/><alias name='ua-nic'/></interface>`,
  );
  await virsh('attach-device', 'vm2', '/tmp/nic.xml', '--live');
  await seen(main.events, 'vm2 device-added ua-nic');
  // No guest system runs that would release the device; QEMU then removes it at the next reset.
  await virsh('detach-device-alias', 'vm2', 'ua-nic', '--live');
  await virsh('reset', 'vm2');
  await seen(main.events, 'vm2 device-removed ua-nic');
  await destroyMachine('vm2');
  await undefine('vm2');
  await create(domainXml({ name: 'fleeting', nics: [] }));
  await destroyMachine('fleeting');
  await seen(main.events, 'fleeting stopped destroyed');
  // QEMU may be killed before it reports its shutdown, so this event is not expected.
  const lifecycle = main.events
    .filter(event => event.kind === 'domain-lifecycle' && event.event !== 'shutdown')
    .map(short);
  assert.deepEqual(lifecycle, [
    'vm1 defined added',
    'vm1 defined updated',
    'vm1 undefined renamed',
    'vm2 defined renamed',
    'vm2 resumed unpaused',
    'vm2 started booted',
    'vm2 suspended paused',
    'vm2 resumed unpaused',
    'vm2 stopped destroyed',
    'vm2 undefined removed',
    'fleeting resumed unpaused',
    'fleeting started booted',
    'fleeting stopped destroyed',
  ]);
});

rpc('the example of node-libvirt, as built, lists a machine and prints its events', async () => {
  await define(domainXml({ name: 'listed', nics: [] }));
  const example = execa('node', ['src/node-libvirt/examples/follow.mjs'], { cwd: checkout, reject: false });
  let printed = '';
  example.stdout.on('data', chunk => {
    printed += chunk;
  });
  await until(() => printed === 'domain listed does not run\n', 'the list');
  await undefine('listed');
  await until(() => printed.includes('\ndomain listed: undefined, removed\n'), 'the event');
  example.kill('SIGINT');
  const { exitCode, stderr } = await example;
  assert.deepEqual([exitCode, stderr], [0, '']);
});

rpc('errors have the code and the text of libvirt', async () => {
  const none = { name: 'none', uuid: '00000000-0000-4000-8000-000000000000', id: -1 };
  await assert.rejects(client.domainLookupByName('none'), isNoDomain);
  await assert.rejects(client.domainGetXmlDesc(none), isNoDomain);
  await assert.rejects(client.networkLookupByName('none'), isNoNetwork);
  await assert.rejects(client.domainLookupByName('none'), {
    name: 'LibvirtError',
    code: ErrorCode.NO_DOMAIN,
    domain: 10,
    message: "Domain not found: no domain with matching name 'none'",
    procedure: { name: 'REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME', number: 23 },
  });
  await assert.rejects(client.domainDefineXmlFlags('no XML'), { name: 'LibvirtError', domain: 20, code: 35 });
  await assert.rejects(client.domainLookupByUuid('no uuid'), { name: 'XdrError' });
  await assert.rejects(client.domainLookupByName('a'.repeat(4194305)), { name: 'XdrError' });
  // None of these ended the connection.
  assert.deepEqual(main.disconnected, []);
});

rpc('two hundred concurrent calls', async () => {
  const lists = await Promise.all(Array.from({ length: 200 }, () => client.connectListAllNetworks()));
  assert(lists.every(nets => nets.length === 1 && nets[0]?.name === 'default'));
});

rpc('a quiet client stays connected: it answers the keepalive requests of libvirtd', async () => {
  const quiet = watch({ keepalive: { intervalMs: 3_600_000, count: 5 } });
  await until(() => quiet.connected.length === 1, 'connected');
  await sleep(6_000);
  assert.deepEqual(quiet.disconnected, []);
  await quiet.client.close();
});

rpc('a libvirtd without a procedure or an event is reported, and the rest works', async () => {
  const unknown = [350, 60];
  mkdirSync('/tmp/older');
  // An older libvirtd does not know METADATA_CHANGE.
  const server = olderLibvirtd('/run/libvirt/libvirt-sock', '/tmp/older/libvirt-sock', unknown, [23]);
  const older = watch({ socketDirectory: '/tmp/older' });
  await until(() => older.connected.length === 1, 'connected');
  assert.deepEqual(older.connected[0]?.missingEvents, ['REMOTE_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE']);
  assert.deepEqual(
    older.notices.map(notice => notice.kind === 'unsupported' && [notice.what, notice.error.message]),
    [
      ['keepalive', 'unknown procedure:  060'],
      ['REMOTE_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE', 'internal error: unsupported event ID 9999'],
    ],
  );
  await assert.rejects(older.client.domainDefineXmlFlags('<domain/>'), isNoSuchProcedure);
  await assert.rejects(older.client.domainLookupByName('none'), error => !isNoSuchProcedure(error));
  await define(domainXml({ name: 'vm1', nics: [] }));
  await seen(older.events, 'vm1 defined added');
  await older.client.close();
  server.close();
});

rpc('modular daemons: machines over one connection, networks over another', async () => {
  // Debian has no modular daemons; libvirtd opens network:///system just as well.
  mkdirSync('/tmp/modular');
  symlinkSync('/run/libvirt/libvirt-sock', '/tmp/modular/virtqemud-sock');
  const modular = watch({ socketDirectory: '/tmp/modular' });
  await until(() => modular.connected.length === 1, 'machines connected');
  await assert.rejects(modular.client.connectListAllNetworks(), { failure: 'not-connected' });
  symlinkSync('/run/libvirt/libvirt-sock', '/tmp/modular/virtnetworkd-sock');
  await until(() => modular.connected.length === 2, 'networks connected');
  assert.deepEqual(modular.connected, [
    { socket: '/tmp/modular/virtqemud-sock', drivers: ['domain'], missingEvents: [] },
    { socket: '/tmp/modular/virtnetworkd-sock', drivers: ['network'], missingEvents: [] },
  ]);
  const net = await modular.client.networkDefineXml(networkXml);
  await modular.client.networkUndefine(net);
  await undefine('vm1');
  await seen(modular.events, 'n1 defined', 'n1 undefined', 'vm1 undefined removed');
  await modular.client.close();
});

rpc(
  'a client notices a libvirtd that is frozen for a minute, and connects again when it continues',
  async () => {
    const unhurried = watch();
    await until(() => unhurried.connected.length === 1, 'connected');
    const pid = pidOfLibvirtd();
    process.kill(pid, 'SIGSTOP');
    const frozen = Date.now();
    const calls = Promise.allSettled(Array.from({ length: 6 }, () => client.connectListAllDomains()));
    await until(() => main.disconnected.length === 1, 'disconnected', 2_500);
    assert.equal(main.disconnected[0]?.error.failure, 'keepalive');
    for (const outcome of await calls) {
      assert(outcome.status === 'rejected' && outcome.reason instanceof ConnectionError);
      assert.equal(outcome.reason.failure, 'keepalive');
    }
    // A client with the default options notices after half a minute.
    await until(() => unhurried.disconnected.length === 1, 'disconnected', 40_000);
    assert.equal(unhurried.disconnected[0]?.error.failure, 'keepalive');
    // The next connection waits for its first reply: a frozen libvirtd cannot be told from one that starts.
    await sleep(60_000 - (Date.now() - frozen));
    assert.equal(main.connected.length, 1);
    assert.equal(unhurried.connected.length, 1);
    process.kill(pid, 'SIGCONT');
    await until(() => main.connected.length === 2 && unhurried.connected.length === 2, 'connected again');
    await define(domainXml({ name: 'after-the-freeze', nics: [] }));
    await seen(main.events, 'after-the-freeze defined added');
    await seen(unhurried.events, 'after-the-freeze defined added');
    await unhurried.client.close();
  },
);

rpc('libvirtd is restarted and killed while a client is connected', async () => {
  for (const end of [stopLibvirtd, killLibvirtd]) {
    const before = main.connected.length;
    const running = client.connectListAllDomains().catch(error => error);
    await end();
    await until(() => main.disconnected.length === before, 'disconnected');
    assert.equal(main.disconnected.at(-1)?.error.failure, 'lost');
    await running;
    await assert.rejects(client.connectListAllDomains(), ConnectionError);
    await startLibvirtd();
    await until(() => main.connected.length === before + 1, 'connected again');
    main.events.length = 0;
    await virsh('net-destroy', 'default');
    await virsh('net-start', 'default');
    await seen(main.events, 'default stopped', 'default started');
  }
});

rpc('a client that closes causes no error in the log of libvirtd', async () => {
  const before = readFileSync(libvirtdLog, 'utf8');
  await client.close();
  await assert.rejects(client.connectListAllDomains(), { failure: 'not-connected' });
  await sleep(200);
  assert.equal(readFileSync(libvirtdLog, 'utf8').slice(before.length), '');
});

rpc.run();
