// The watcher with a real libvirtd: MACs, addresses, configuration, and the daemons around it failing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { execa } from 'execa';
import { suite } from 'uvu';
import { parseIpv4 } from '../../src/address/ip.ts';
import { formulaMac } from '../../src/identity/formula.ts';
import { readLedger } from '../../src/identity/ledger-files.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { formulaAddressOf, formulaMacOf } from './formula-values.ts';
import { prepare, runHook } from './hook-calls.ts';
import {
  checkout,
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
import { logLines, logLinesOf } from './log.ts';
import { olderLibvirtd } from './older-libvirtd.ts';
import { until } from './until.ts';
import { answerOf, idle, startWatcher, stopWatcher, watcherPid } from './watcher.ts';

const watcher = suite('watcher');
const config = '[network.k8s-br0]\nstp = no\n';
const onBridge: Nic = { type: 'bridge', source: 'k8s-br0' };
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

function entriesOf(machine: string): LedgerEntry[] {
  const ledger = readLedger();
  return ledger.named('k8s-br0', machine);
}

async function hasMac(machine: string, mac: string): Promise<boolean> {
  return (await macsOf(machine))[0] === mac;
}

/** Writes virlan.ini and waits until the watcher has applied it. */
async function reconfigure(text: string): Promise<void> {
  const before = logLinesOf('configuration-applied').length;
  await configure(text);
  await until(() => logLinesOf('configuration-applied').length > before);
}

watcher("the watcher removes libvirt's default network and establishes virlan's", async () => {
  await installVirlan();
  await configure(config);
  await startLibvirtd();
  await startWatcher();
  await until(async () => /k8s-br0 +active +yes/.test(await virsh('net-list', '--all')));
  assert.doesNotMatch(await virsh('net-list', '--all'), /default/);
  assert.equal((await virlan('plan')).exitCode, 0);
});

watcher('a machine that virsh defines and starts boots with its formula MAC and address', async () => {
  await define(domainXml({ name: 'web', nics: [onBridge] }));
  // A start right behind the definition can be faster than the watcher; the benchmark counts how often.
  await until(() => hasMac('web', formulaMacOf('web')));
  await startMachine('web');
  assert.deepEqual(await macsOf('web'), [formulaMacOf('web')]);
  const { ip, hostname } = await leaseOf(formulaMacOf('web'));
  assert.deepEqual({ ip, hostname }, { ip: formulaAddressOf('web'), hostname: 'web' });
  const { stdout } = await virlan('status', '--json');
  const status = JSON.parse(stdout);
  assert.deepEqual(status.watcher, { running: true, pid: watcherPid(), libvirt: 'connected' });
});

watcher(
  'virlan mac predicts the assigned MAC, also where a [host.…] section has the formula MAC',
  async () => {
    const section = (name: string, machine: string, lastByte: number) =>
      `[host.${name}]\nnetwork = k8s-br0\nmac = ${formulaMacOf(machine)}\nip = 192.168.100.${lastByte}\n`;
    const sections = [section('own', 'own', 61), section('printer', 'other', 62)];
    await configure(`${config}${sections.join('')}`);
    await until(() => logLinesOf('configuration-applied').length > 0);
    const next = formulaMac(
      { network: 'k8s-br0', machine: 'other', nic: 0 },
      mac => mac === formulaMacOf('other'),
    );
    for (const [name, expected] of [
      ['own', formulaMacOf('own')],
      ['other', next],
    ] as const) {
      const predicted = (await virlan('mac', name)).stdout;
      assert.equal(predicted, expected, name);
      await define(domainXml({ name, nics: [onBridge] }));
      await until(() => hasMac(name, predicted));
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
    await reconfigure(config);
  },
);

watcher('virsh domifaddr shows leases without a command of virlan', async () => {
  await define(domainXml({ name: 'seen', nics: [{ type: 'network', source: 'k8s-br0' }] }));
  await until(() => hasMac('seen', formulaMacOf('seen')));
  await startMachine('seen');
  await leaseOf(formulaMacOf('seen'));
  await until(async () => (await virsh('domifaddr', 'seen')).includes(formulaAddressOf('seen')), 1);
  await destroyMachine('seen');
});

watcher(
  'a MAC with another prefix, one kept by metadata, and one in a line written by hand do not change',
  async () => {
    const byHand = '52:54:00:aa:00:01';
    appendFileSync(hostsfile, `${byHand},192.168.100.60,mine\n`);
    const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' mac='keep'/>`;
    await define(domainXml({ name: 'prefix', nics: [{ ...onBridge, mac: '02:00:00:aa:00:01' }] }));
    await define(domainXml({ name: 'kept', nics: [{ ...onBridge, mac: '52:54:00:aa:00:02' }], metadata }));
    await define(domainXml({ name: 'hand', nics: [{ ...onBridge, mac: byHand }] }));
    await define(domainXml({ name: 'last', nics: [onBridge] }));
    await until(() => hasMac('last', formulaMacOf('last')));
    assert.deepEqual(await macsOf('prefix'), ['02:00:00:aa:00:01']);
    assert.deepEqual(await macsOf('kept'), ['52:54:00:aa:00:02']);
    assert.deepEqual(await macsOf('hand'), [byHand]);
    await until(() => entriesOf('hand')[0]?.ip !== undefined);
    assert.match(readFileSync(hostsfile, 'utf8'), new RegExp(`^${byHand},192.168.100.60,mine$`, 'm'));
  },
);

watcher('a line that is written by hand for a machine that exists changes its address at once', async () => {
  const [running = ''] = await macsOf('kept');
  await startMachine('kept');
  await leaseOf(running);
  const stopped = formulaMacOf('last');
  const lines = [`${running},192.168.100.61`, `${stopped},192.168.100.62`];
  appendFileSync(hostsfile, `${lines.join('\n')}\n`);
  const has = (name: string, address: string) => entriesOf(name)[0]?.ip === parseIpv4(address);
  await until(() => has('kept', '192.168.100.61') && has('last', '192.168.100.62'));
  assert.equal((await virlan('ip', 'kept')).stdout, '192.168.100.61');
  const replaceLine = (from: string, to: string) =>
    writeFileSync(hostsfile, readFileSync(hostsfile, 'utf8').replace(from, to));
  const problem = () => entriesOf('kept')[0]?.problem?.kind ?? null;
  replaceLine(`${running},192.168.100.61\n`, `${running},10.0.0.61\n`);
  await until(() => problem() === 'line-unusable');
  replaceLine(`${running},10.0.0.61\n`, `${running},ignore\n`);
  await until(() => problem() === 'mac-ignored');
  replaceLine(`${running},ignore\n`, '');
  await until(() => problem() === null);
  await destroyMachine('kept');
});

watcher('a new MAC leaves the passwords of a definition unchanged', async () => {
  const graphics = `<graphics type='vnc' port='-1' passwd='s3cret'/>`;
  await define(
    domainXml({ name: 'secret', nics: [onBridge] }).replace('</devices>', `${graphics}</devices>`),
  );
  await until(() => hasMac('secret', formulaMacOf('secret')));
  assert.match(await virsh('dumpxml', '--security-info', '--inactive', 'secret'), /passwd='s3cret'/);
});

/**
 * Defines and starts a machine over one connection, so that it starts before the watcher can assign a MAC.
 * Tries again with another machine if the watcher was faster, which happens on a busy host.
 */
async function bootBeforeAssignment(attempt = 1): Promise<{ name: string; mac: string }> {
  const [name, mac] = [`raced${attempt}`, `52:54:00:bb:00:0${attempt}`];
  writeFileSync('/tmp/raced.xml', domainXml({ name, nics: [{ ...onBridge, mac }] }));
  await execa('virsh', ['-c', 'qemu:///system', `define /tmp/raced.xml; start ${name}`]);
  if ((await macsOf(name)).includes(mac)) return { name, mac };
  await destroyMachine(name);
  return bootBeforeAssignment(attempt + 1);
}

watcher(
  'a machine that has booted keeps its MAC; after adopt it gets the formula MAC when it is shut off',
  async () => {
    const { name, mac } = await bootBeforeAssignment();
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
  },
);

watcher(
  'a rename keeps MAC and address; after undefine a new machine of the name gets the address again',
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

watcher('a concurrent change of a definition by another tool is not lost', async () => {
  const uuid = '77777777-7777-4777-8777-777777777777';
  const xml = domainXml({ name: 'shared', uuid, nics: [{ ...onBridge, mac: '52:54:00:bb:00:07' }] });
  for (let title = 1; title <= 25; title++) {
    await define(xml.replace('<memory', `<title>${title}</title><memory`));
  }
  await idle('shared');
  assert.match(await virsh('dumpxml', 'shared'), /<title>25<\/title>/);
  await undefine('shared');
});

watcher(
  'with mac = always a booted machine gets the formula MAC, but not while it has a managed save',
  async () => {
    const mac = '52:54:00:bb:00:08';
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
  },
);

watcher(
  'after a revert to a snapshot with a MAC that it never booted with, a machine gets back the one that it has',
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
    assert.deepEqual(await macsOf('snapped'), [formulaMacOf('snapped')]);
    const line = `${formulaMacOf('snapped')},id:*,${formulaAddressOf('snapped')},snapped `;
    assert(readFileSync(hostsfile, 'utf8').includes(line));
  },
);

watcher('the watcher notifies systemd that it is ready', async () => {
  await stopWatcher();
  const systemd = execa('socat', ['-u', 'UNIX-RECV:/run/notify', '-'], { reject: false });
  await until(() => existsSync('/run/notify'));
  process.env.NOTIFY_SOCKET = '/run/notify';
  const notified = new Promise<string>(resolve =>
    systemd.stdout.on('data', chunk => String(chunk).includes('READY=1') && resolve('ready')),
  );
  await startWatcher();
  delete process.env.NOTIFY_SOCKET;
  assert.equal(await notified, 'ready');
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

watcher('a default network that is defined again is removed within a second', async () => {
  const xml = `<network><name>default</name><bridge name='virbr0'/><forward/><ip address='192.168.122.1' netmask='255.255.255.0'/></network>`;
  writeFileSync('/tmp/default.xml', xml);
  await virsh('net-define', '/tmp/default.xml');
  await until(async () => !/default/.test(await virsh('net-list', '--all')), 2);
  assert(!existsSync('/sys/class/net/virbr0'));
});

watcher('a killed dnsmasq is started again within a second', async () => {
  const pid = Number(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8'));
  process.kill(pid, 'SIGKILL');
  await until(
    async () => JSON.parse((await virlan('status', '--json')).stdout).networks[0].dnsmasq.running,
    2,
  );
});

watcher(
  'a changed configuration is applied at once; an invalid one is not, and status shows it',
  async () => {
    const addressBefore = readFileSync('/sys/class/net/k8s-br0/address', 'utf8');
    await configure(`${config}host-allow = tcp/5000\nlease-time = 2h\n`);
    await until(
      async () => (await execa('nft', ['list', 'table', 'ip', 'virlan-k8s-br0'])).stdout.includes('5000'),
      2,
    );
    await until(() => readFileSync('/var/lib/dnsmasq/k8s-br0/dnsmasq.conf', 'utf8').includes(',7200'), 5);
    assert.equal(readFileSync('/sys/class/net/k8s-br0/address', 'utf8'), addressBefore);
    await configure(`${config}subnet = nonsense\n`);
    await until(async () => /virlan\.ini:3: subnet = nonsense/.test((await virlan('status')).stdout), 2);
    assert(logLinesOf('configuration-rejected').length > 0);
    await configure(`${config}subnet = 10.9.0.0/24\n`);
    await until(
      async () =>
        /subnet of k8s-br0 cannot become 10\.9\.0\.0\/24.*"web"/.test((await virlan('status')).stdout),
      2,
    );
    await configure(config);
    await until(async () => !(await virlan('status')).stdout.includes('cannot become'), 2);
    await until(async () => (await virlan('plan')).exitCode === 0);
  },
);

watcher('the watcher connects again after a crash of libvirtd', async () => {
  await killLibvirtd();
  await until(async () => JSON.parse(await answerOf('/status')).watcher.libvirt === 'disconnected');
  await startLibvirtd();
  await until(async () => JSON.parse(await answerOf('/status')).watcher.libvirt === 'connected');
  await define(domainXml({ name: 'later', nics: [onBridge] }));
  await until(() => hasMac('later', formulaMacOf('later')));
});

watcher('a libvirtd without a procedure and events: the watcher logs them and does what it can', async () => {
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
  const logged = JSON.stringify(logLines().slice(before));
  for (const what of ['DEVICE_ADDED', 'METADATA_CHANGE', 'unknown procedure:  183'])
    assert(logged.includes(what), what);
  await stopWatcher();
  server.close();
  renameSync('/run/libvirt/real-sock', socket);
  await startWatcher();
});

watcher('hooks work without the watcher, and when it hangs or answers with malformed data', async () => {
  // Stopped during its work it would hold the ledger's lock meanwhile.
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
  // Another server on the socket that the killed watcher left behind.
  rmSync('/run/virlan/socket');
  let requestCount = 0;
  const otherServer = createServer(socket => {
    requestCount++;
    socket.end('SSH-2.0-nonsense\r\n');
  }).listen('/run/virlan/socket');
  await once(otherServer, 'listening');
  await define(domainXml({ name: 'noise', nics: [{ ...onBridge, mac: '52:54:00:bb:00:05' }] }));
  await startMachine('noise');
  assert.match(readFileSync(hostsfile, 'utf8'), /^52:54:00:bb:00:05,/m);
  assert(requestCount > 0);
  otherServer.close();
  await destroyMachine('noise');
});

watcher('a machine defined while the watcher was stopped gets its MAC when it starts', async () => {
  await define(domainXml({ name: 'missed', nics: [{ ...onBridge, mac: '52:54:00:bb:00:06' }] }));
  await startWatcher();
  await until(() => hasMac('missed', formulaMacOf('missed')));
  await idle('missed');
  const metrics = await answerOf('/metrics');
  assert.match(metrics, /^virlan_libvirt_connected 1$/m);
  // Reservations made by the watcher itself are counted too.
  assert.match(metrics, /^virlan_reservations_total [1-9]/m);
  assert.match(metrics, /^virlan_machines\{network="k8s-br0"\} \d+$/m);
});

/**
 * Runs the hook of a machine until it reaches the watcher: on a busy host that may not answer in the three seconds that
 * a hook waits. The program that a hook runs then must record that it ran.
 */
async function reachWatcher(machine: Parameters<typeof prepare>[0]): Promise<void> {
  await until(async () => {
    rmSync('/run/fallen-back', { force: true });
    assert.equal((await prepare(machine)).exitCode, 0);
    return !existsSync('/run/fallen-back');
  }, 30);
}

watcher('where nc is ncat, hooks reach the watcher, and do not wait for one that hangs', async () => {
  await idle('missed');
  const program = '/usr/sbin/virlan';
  const [original, nc] = [readFileSync(program), realpathSync('/usr/bin/nc')];
  writeFileSync(program, '#!/bin/sh\ntouch /run/fallen-back\n');
  // With the libraries of its package's dependencies, which a host may lack.
  await execa('cp', ['-a', `${checkout}/build/ncat/usr/.`, '/usr']);
  await execa('ln', ['-sf', '/usr/bin/ncat', '/usr/bin/nc']);
  const mac = '52:54:00:bb:02:01';
  const machine = { name: 'by-ncat', nics: [{ ...onBridge, mac }] };
  await reachWatcher(machine);
  assert.match(readFileSync(hostsfile, 'utf8'), new RegExp(`^${mac},`, 'm'));
  process.kill(watcherPid(), 'SIGSTOP');
  const { exitCode } = await prepare(machine).finally(() => process.kill(watcherPid(), 'SIGCONT'));
  assert.equal(exitCode, 0);
  assert(existsSync('/run/fallen-back'), 'a watcher that hangs was waited for');
  await execa('rm', ['/run/fallen-back', '/usr/bin/ncat']);
  await execa('ln', ['-sf', nc, '/usr/bin/nc']);
  writeFileSync(program, original);
});

watcher('hooks reach the watcher with nc, socat or curl', async () => {
  await idle('missed');
  const program = '/usr/sbin/virlan';
  const original = readFileSync(program);
  // The program that a hook runs if it cannot reach the watcher records that it ran.
  writeFileSync(program, '#!/bin/sh\ntouch /run/fallen-back\n');
  for (const [index, asker] of ['nc', 'socat', 'curl'].entries()) {
    const missing = ['nc', 'socat', 'curl'].slice(0, index);
    for (const each of missing) await execa('rm', ['-f', `/usr/bin/${each}`, `/bin/${each}`]);
    const mac = `52:54:00:bb:01:0${index}`;
    await reachWatcher({ name: `by-${asker}`, nics: [{ ...onBridge, mac }] });
    assert.match(readFileSync(hostsfile, 'utf8'), new RegExp(`^${mac},`, 'm'));
  }
  assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
  assert(!existsSync('/run/fallen-back'));
  writeFileSync(program, original);
});

watcher.run();
