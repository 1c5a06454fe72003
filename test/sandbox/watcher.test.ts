import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaMac } from '../../src/identity/formula.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { formulaAddressOf } from './formula-values.ts';
import { prepare, runHook } from './hook-calls.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  killLibvirtd,
  leaseOf,
  macsOf,
  type Nic,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
  withHotplug,
} from './host.ts';
import { logLines } from './log.ts';
import { olderLibvirtd } from './older-libvirtd.ts';
import { until } from './until.ts';
import { get, idle, startWatcher, stopWatcher, watcherPid } from './watcher.ts';

const watcher = suite('watcher');
const config = '[network.k8s-br0]\nstp = no\n';
const onBridge: Nic = { type: 'bridge', source: 'k8s-br0' };
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

const formulaMacOf = (machine: string, nic = 0) =>
  formulaMac({ network: 'k8s-br0', machine, nic }, () => false);

function entriesOf(machine: string): LedgerEntry[] {
  const ledger = Ledger.parse(readFileSync('/var/lib/virlan/ledger.jsonl'));
  return ledger.named('k8s-br0', machine);
}

async function hasMac(machine: string, mac: string): Promise<boolean> {
  return (await macsOf(machine))[0] === mac;
}

watcher("libvirt's default network goes, and virlan's own comes, with no command", async () => {
  await installVirlan();
  await configure(config);
  await startLibvirtd();
  await startWatcher();
  await until(async () => /k8s-br0 +active +yes/.test(await virsh('net-list', '--all')));
  assert.doesNotMatch(await virsh('net-list', '--all'), /default/);
  assert.equal((await virlan('plan')).exitCode, 0);
});

watcher('virsh define and virsh start boot a machine with its formula MAC and address', async () => {
  await define(domainXml({ name: 'web', nics: [onBridge] }));
  await startMachine('web');
  assert.deepEqual(await macsOf('web'), [formulaMacOf('web')]);
  const { ip, hostname } = await leaseOf(formulaMacOf('web'));
  assert.deepEqual({ ip, hostname }, { ip: formulaAddressOf('web'), hostname: 'web' });
  const { stdout } = await virlan('status', '--json');
  const status = JSON.parse(stdout);
  assert.deepEqual(status.watcher, { running: true, pid: watcherPid(), libvirt: 'connected' });
});

watcher(
  'a MAC of the formula that a [host.…] section has: virlan mac foretells what is assigned',
  async () => {
    const section = (name: string, machine: string, lastByte: number) =>
      `[host.${name}]\nnetwork = k8s-br0\nmac = ${formulaMacOf(machine)}\nip = 192.168.100.${lastByte}\n`;
    const sections = [section('own', 'own', 61), section('printer', 'other', 62)];
    await configure(`${config}${sections.join('')}`);
    await until(() => logLines().some(line => line.msg === 'configuration read'));
    const next = formulaMac(
      { network: 'k8s-br0', machine: 'other', nic: 0 },
      mac => mac === formulaMacOf('other'),
    );
    for (const [name, expected] of [
      ['own', formulaMacOf('own')],
      ['other', next],
    ] as const) {
      const foretold = (await virlan('mac', name)).stdout;
      assert.equal(foretold, expected, `${name}: foretold`);
      await define(domainXml({ name, nics: [onBridge] }));
      await until(() => hasMac(name, foretold));
    }
    await until(() =>
      readFileSync(hostsfile, 'utf8').includes(`${formulaMacOf('own')},id:*,192.168.100.61,own`),
    );
    const { stdout } = await virlan('ip', 'never-defined', '--verbose');
    const address = formulaAddressOf('never-defined', 0, `${config}${sections.join('')}`);
    assert.equal(stdout.split('\n')[0], address);
    assert.match(stdout, new RegExp(`^ {2}address ${address}: by the formula$`, 'm'));
    const { why } = JSON.parse((await virlan('ip', 'own', '--verbose', '--json')).stdout);
    assert.deepEqual(
      why.map(({ kind, address: at, reason }: Record<string, string>) => [kind, at, reason]),
      [['address', '192.168.100.61', 'ledger']],
    );
    const before = logLines().length;
    await configure(config);
    await until(() =>
      logLines()
        .slice(before)
        .some(line => line.msg === 'configuration read'),
    );
  },
);

watcher("leases reach libvirt's own tools with no command", async () => {
  await define(domainXml({ name: 'seen', nics: [{ type: 'network', source: 'k8s-br0' }] }));
  await startMachine('seen');
  await leaseOf(formulaMacOf('seen'));
  await until(async () => (await virsh('domifaddr', 'seen')).includes(formulaAddressOf('seen')), 1);
  await destroyMachine('seen');
});

watcher(
  "what is not virlan's to change keeps its MAC: another prefix, metadata, a line written by hand",
  async () => {
    const byHand = '52:54:00:aa:00:01';
    appendFileSync(hostsfile, `${byHand},192.168.100.60,mine\n`);
    const wish = `<v:machine xmlns:v='urn:virlan:machine:1' mac='keep'/>`;
    await define(domainXml({ name: 'prefix', nics: [{ ...onBridge, mac: '02:00:00:aa:00:01' }] }));
    await define(
      domainXml({ name: 'wish', nics: [{ ...onBridge, mac: '52:54:00:aa:00:02' }], metadata: wish }),
    );
    await define(domainXml({ name: 'hand', nics: [{ ...onBridge, mac: byHand }] }));
    await define(domainXml({ name: 'last', nics: [onBridge] }));
    await until(() => hasMac('last', formulaMacOf('last')));
    assert.deepEqual(await macsOf('prefix'), ['02:00:00:aa:00:01']);
    assert.deepEqual(await macsOf('wish'), ['52:54:00:aa:00:02']);
    assert.deepEqual(await macsOf('hand'), [byHand]);
    await until(() => entriesOf('hand')[0]?.ip !== undefined);
    assert.match(readFileSync(hostsfile, 'utf8'), new RegExp(`^${byHand},192.168.100.60,mine$`, 'm'));
  },
);

watcher('passwords and the rest of a definition survive the new MAC byte for byte', async () => {
  const graphics = `<graphics type='vnc' port='-1' passwd='s3cret'/>`;
  await define(
    domainXml({ name: 'secret', nics: [onBridge] }).replace('</devices>', `${graphics}</devices>`),
  );
  await until(() => hasMac('secret', formulaMacOf('secret')));
  assert.match(await virsh('dumpxml', '--security-info', '--inactive', 'secret'), /passwd='s3cret'/);
});

/**
 * Defines and starts a machine over one connection: the start is under way when the watcher hears of the definition. On
 * a busy host the watcher may be the quicker, and then another machine tries.
 */
async function bootsUnnoticed(attempt = 1): Promise<{ name: string; mac: string }> {
  const [name, mac] = [`raced${attempt}`, `52:54:00:bb:00:0${attempt}`];
  writeFileSync('/tmp/raced.xml', domainXml({ name, nics: [{ ...onBridge, mac }] }));
  await execa('virsh', ['-c', 'qemu:///system', `define /tmp/raced.xml; start ${name}`]);
  if ((await macsOf(name)).includes(mac)) return { name, mac };
  await destroyMachine(name);
  return bootsUnnoticed(attempt + 1);
}

watcher("a machine that booted keeps its MAC; adopt gives it the formula's when it is shut off", async () => {
  const { name, mac } = await bootsUnnoticed();
  await leaseOf(mac);
  assert.deepEqual(await macsOf(name), [mac]);
  await destroyMachine(name);
  await startMachine(name);
  assert.deepEqual(await macsOf(name), [mac]);
  assert.equal((await virlan('adopt', name)).exitCode, 0);
  assert.deepEqual(await macsOf(name), [mac]);
  await destroyMachine(name);
  await until(() => hasMac(name, formulaMacOf(name)));
  assert.equal(entriesOf(name)[0]?.macs.includes(mac as never), true);
});

watcher(
  "a rename keeps MAC and address; an undefine retires; the name's next machine has the address again",
  async () => {
    await define(domainXml({ name: 'before', nics: [onBridge] }));
    await until(() => entriesOf('before').length === 1 && hasMac('before', formulaMacOf('before')));
    await virsh('domrename', 'before', 'after');
    await until(() => entriesOf('after').length === 1);
    const [entry] = entriesOf('after');
    assert.deepEqual([entry?.macs[0], entriesOf('before').length], [formulaMacOf('before'), 0]);
    await undefine('after');
    await until(() => entriesOf('after')[0]?.retired instanceof Date);
    await until(() => !readFileSync(hostsfile, 'utf8').includes(',after '), 1);
    await define(domainXml({ name: 'after', nics: [onBridge] }));
    await until(() => entriesOf('after')[0]?.retired === null);
    assert.equal(entriesOf('after')[0]?.ip, entry?.ip);
  },
);

watcher('what another tool writes into a definition meanwhile is not lost', async () => {
  const uuid = '77777777-7777-4777-8777-777777777777';
  const xml = domainXml({ name: 'shared', uuid, nics: [{ ...onBridge, mac: '52:54:00:bb:00:07' }] });
  for (let title = 1; title <= 25; title++) {
    await define(xml.replace('<memory', `<title>${title}</title><memory`));
  }
  await until(() => hasMac('shared', formulaMacOf('shared')));
  assert.match(await virsh('dumpxml', 'shared'), /<title>25<\/title>/);
  await undefine('shared');
});

watcher('with always a booted machine changes too, but not while it is saved', async () => {
  const mac = '52:54:00:bb:00:08';
  const reconfigure = async (text: string) => {
    const read = () => logLines().filter(line => line.msg === 'configuration read').length;
    const before = read();
    await configure(text);
    await until(() => read() > before);
  };
  await reconfigure(`${config}mac = keep\n`);
  await define(domainXml({ name: 'saved', nics: [{ ...onBridge, mac }] }));
  await startMachine('saved');
  await reconfigure(`${config}mac = always\n`);
  await virsh('managedsave', 'saved');
  await define(domainXml({ name: 'marker', nics: [onBridge] }));
  await until(() => hasMac('marker', formulaMacOf('marker')));
  assert.deepEqual(await macsOf('saved'), [mac]);
  await startMachine('saved');
  await destroyMachine('saved');
  await until(() => hasMac('saved', formulaMacOf('saved')));
  await reconfigure(config);
});

watcher(
  'a snapshot that brings an old MAC back loses neither the address nor the MAC it is to have',
  async () => {
    const mac = '52:54:00:bb:00:09';
    await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '/tmp/snapped.qcow2', '1M']);
    const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/tmp/snapped.qcow2'/><target dev='vda' bus='virtio'/></disk>`;
    const xml = domainXml({ name: 'snapped', nics: [{ ...onBridge, mac }] });
    await stopWatcher();
    await define(xml.replace('</devices>', `${disk}</devices>`));
    await virsh('snapshot-create-as', 'snapped', 'early');
    await startWatcher();
    await until(() => hasMac('snapped', formulaMacOf('snapped')));
    await startMachine('snapped');
    await destroyMachine('snapped');
    await virsh('snapshot-revert', 'snapped', 'early');
    await idle('snapped');
    // It has booted, so its MAC is the snapshot's from now on; the line speaks for both.
    assert.deepEqual(await macsOf('snapped'), [mac]);
    const line = `${mac},${formulaMacOf('snapped')},id:*,${formulaAddressOf('snapped')},snapped `;
    assert(readFileSync(hostsfile, 'utf8').includes(line));
  },
);

watcher('systemd hears that the watcher is ready', async () => {
  await stopWatcher();
  const systemd = execa('socat', ['-u', 'UNIX-RECV:/run/notify', '-'], { reject: false });
  await until(() => existsSync('/run/notify'));
  process.env.NOTIFY_SOCKET = '/run/notify';
  const heard = new Promise<string>(resolve =>
    systemd.stdout.on('data', chunk => String(chunk).includes('READY=1') && resolve('ready')),
  );
  await startWatcher();
  delete process.env.NOTIFY_SOCKET;
  assert.equal(await heard, 'ready');
  systemd.kill();
});

watcher("a NIC plugged into a running machine's bridge gets its reservation", async () => {
  const mac = '52:54:00:bb:00:02';
  await define(withHotplug(domainXml({ name: 'hot', nics: [onBridge] })));
  await startMachine('hot');
  await virsh('attach-interface', 'hot', 'bridge', 'k8s-br0', '--mac', mac, '--model', 'virtio', '--live');
  await until(() => readFileSync(hostsfile, 'utf8').includes(mac), 1);
  await destroyMachine('hot');
});

watcher('a default network that somebody brings back goes again within a second', async () => {
  const xml = `<network><name>default</name><bridge name='virbr0'/><forward/><ip address='192.168.122.1' netmask='255.255.255.0'/></network>`;
  writeFileSync('/tmp/default.xml', xml);
  await virsh('net-define', '/tmp/default.xml');
  await until(async () => !/default/.test(await virsh('net-list', '--all')), 2);
  assert(!existsSync('/sys/class/net/virbr0'));
});

watcher('dnsmasq is back within a second of its death', async () => {
  const pid = Number(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8'));
  process.kill(pid, 'SIGKILL');
  await until(
    async () => JSON.parse((await virlan('status', '--json')).stdout).networks[0].dnsmasq.running,
    2,
  );
});

watcher('an edited configuration is applied live; a broken one is not, and status says so', async () => {
  const tapsBefore = readFileSync('/sys/class/net/k8s-br0/address', 'utf8');
  await configure(`${config}host-allow = tcp/5000\nlease-time = 2h\n`);
  await until(
    async () => (await execa('nft', ['list', 'table', 'ip', 'virlan-k8s-br0'])).stdout.includes('5000'),
    2,
  );
  await until(() => readFileSync('/var/lib/dnsmasq/k8s-br0/dnsmasq.conf', 'utf8').includes(',7200'), 5);
  assert.equal(readFileSync('/sys/class/net/k8s-br0/address', 'utf8'), tapsBefore);
  await configure(`${config}subnet = nonsense\n`);
  await until(async () => /virlan\.ini:3: subnet = nonsense/.test((await virlan('status')).stdout), 2);
  assert.equal(
    logLines().some(line => String(line.msg).includes('stays in force')),
    true,
  );
  await configure(`${config}subnet = 10.9.0.0/24\n`);
  await until(
    async () =>
      /subnet of k8s-br0 cannot become 10\.9\.0\.0\/24.*"web"/.test((await virlan('status')).stdout),
    2,
  );
  await configure(config);
  await until(async () => !(await virlan('status')).stdout.includes('cannot become'), 2);
  await until(async () => (await virlan('plan')).exitCode === 0);
});

watcher('libvirtd may crash and come back: the watcher does too', async () => {
  await killLibvirtd();
  await until(async () => JSON.parse((await get('/status')) ?? '{}').watcher?.libvirt === 'disconnected');
  await startLibvirtd();
  await until(async () => JSON.parse((await get('/status')) ?? '{}').watcher?.libvirt === 'connected');
  await define(domainXml({ name: 'later', nics: [onBridge] }));
  await until(() => hasMac('later', formulaMacOf('later')));
});

watcher('a libvirtd that lacks a procedure and events: logged, skipped, carried on', async () => {
  await stopWatcher();
  const socket = '/run/libvirt/libvirt-sock';
  renameSync(socket, '/run/libvirt/real-sock');
  // No HAS_MANAGED_SAVE_IMAGE, without which no MAC can be changed; no DEVICE_ADDED, no METADATA_CHANGE.
  const server = olderLibvirtd('/run/libvirt/real-sock', socket, [183], [19, 23]);
  const before = logLines().length;
  await startWatcher();
  await define(domainXml({ name: 'elder', nics: [{ ...onBridge, mac: '52:54:00:bb:02:01' }] }));
  await until(() => entriesOf('elder').length === 1);
  assert.deepEqual(await macsOf('elder'), ['52:54:00:bb:02:01']);
  await undefine('elder');
  await until(() => entriesOf('elder')[0]?.retired !== null);
  const said = JSON.stringify(logLines().slice(before));
  for (const what of ['DEVICE_ADDED', 'METADATA_CHANGE', 'unknown procedure:  183'])
    assert(said.includes(what), what);
  await stopWatcher();
  server.close();
  renameSync('/run/libvirt/real-sock', socket);
  await startWatcher();
});

watcher('hooks go on without the watcher, and when it hangs or talks nonsense', async () => {
  // Stopped in the middle of its work it would hold the ledger's lock for as long.
  await idle('later');
  process.kill(watcherPid(), 'SIGSTOP');
  await define(domainXml({ name: 'alone', nics: [{ ...onBridge, mac: '52:54:00:bb:00:03' }] }));
  await startMachine('alone');
  assert.match(readFileSync(hostsfile, 'utf8'), /^52:54:00:bb:00:03,/m);
  process.kill(watcherPid(), 'SIGCONT');
  await stopWatcher('SIGKILL');
  await destroyMachine('alone');
  await define(domainXml({ name: 'quiet', nics: [{ ...onBridge, mac: '52:54:00:bb:00:04' }] }));
  await startMachine('quiet');
  assert.match(readFileSync(hostsfile, 'utf8'), /^52:54:00:bb:00:04,/m);
  await destroyMachine('quiet');
  // Somebody else's server on the socket the killed watcher left behind.
  rmSync('/run/virlan/socket');
  let asked = 0;
  const nonsense = createServer(socket => {
    asked++;
    socket.end('SSH-2.0-nonsense\r\n');
  }).listen('/run/virlan/socket');
  await once(nonsense, 'listening');
  await define(domainXml({ name: 'noise', nics: [{ ...onBridge, mac: '52:54:00:bb:00:05' }] }));
  await startMachine('noise');
  assert.match(readFileSync(hostsfile, 'utf8'), /^52:54:00:bb:00:05,/m);
  assert(asked > 0);
  nonsense.close();
  await destroyMachine('noise');
});

watcher('what was defined while the watcher was away is settled when it is back', async () => {
  await define(domainXml({ name: 'missed', nics: [{ ...onBridge, mac: '52:54:00:bb:00:06' }] }));
  await startWatcher();
  await until(() => hasMac('missed', formulaMacOf('missed')));
  await idle('missed');
  const metrics = (await get('/metrics')) ?? '';
  assert.match(metrics, /^virlan_libvirt_connected 1$/m);
  // Those that the watcher itself made count, too.
  assert.match(metrics, /^virlan_reservations_total [1-9]/m);
  assert.match(metrics, /^virlan_machines\{network="k8s-br0"\} \d+$/m);
});

watcher('the watcher answers the hooks, by whichever program the host has to ask it', async () => {
  await idle('missed');
  const program = '/usr/sbin/virlan';
  const whole = readFileSync(program);
  // What would be run where the watcher is away says that it was.
  writeFileSync(program, '#!/bin/sh\ntouch /run/fallen-back\n');
  for (const [index, asker] of ['nc', 'socat', 'curl'].entries()) {
    const missing = ['nc', 'socat', 'curl'].slice(0, index);
    for (const each of missing) await execa('rm', ['-f', `/usr/bin/${each}`, `/bin/${each}`]);
    const mac = `52:54:00:bb:01:0${index}`;
    const { exitCode } = await prepare({ name: `by-${asker}`, nics: [{ ...onBridge, mac }] });
    assert.equal(exitCode, 0);
    assert.match(readFileSync(hostsfile, 'utf8'), new RegExp(`^${mac},`, 'm'));
    assert(!existsSync('/run/fallen-back'), `${asker} did not reach the watcher`);
  }
  assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
  assert(!existsSync('/run/fallen-back'));
  writeFileSync(program, whole);
});

watcher.run();
