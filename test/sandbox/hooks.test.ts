// The installed hooks, called as libvirt calls them: concurrently, killed, and with damaged state.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { parseHostsfile } from '../../src/dnsmasq/hostsfile.ts';
import { readLedger } from '../../src/identity/ledger-files.ts';
import { hookSources } from '../hook-bundles.ts';
import { formulaAddressOf } from './formula-values.ts';
import { hookEnvironment, prepare, runHook } from './hook-calls.ts';
import { configure, dhcp, domainXml, guest, installVirlan, remove, virlan } from './host.ts';
import { errorLines, logLines } from './log.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { busyness } from './until.ts';

const hooks = suite('hooks');
const bridge = { type: 'bridge' as const, source: 'k8s-br0' };
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

/** Reads ledger and hostsfile. Throws if one of them is damaged. */
function readState() {
  const ledger = readLedger();
  const hosts = parseHostsfile(readFileSync(hostsfile, 'utf8'));
  assert(hosts.ok);
  return { entries: ledger.entries(), lines: hosts.value.ours };
}

function assertUnique(values: readonly unknown[]): void {
  assert.equal(new Set(values).size, values.length);
}

hooks('the daemon hook establishes the network, and no process keeps its output open', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  const { exitCode, stderr } = await runHook('daemon', ['-', 'start', '-', 'start']);
  assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: '' });
  assert.equal((await virlan('plan')).exitCode, 0);
});

hooks('the daemon hook keeps the network when libvirtd stops', async () => {
  assert.equal((await runHook('daemon', ['-', 'shutdown', '-', 'shutdown'])).exitCode, 0);
  assert.equal((await virlan('plan')).exitCode, 0);
});

hooks('eight daemon hooks at once succeed without an error', async () => {
  await virlan('down');
  const runs = await Promise.all(
    Array.from({ length: 8 }, () => runHook('daemon', ['-', 'start', '-', 'start'])),
  );
  assert(runs.every(({ exitCode }) => exitCode === 0));
  assert.equal((await virlan('plan')).exitCode, 0);
  assert.deepEqual(errorLines(), []);
});

hooks('a machine gets its address from DHCP as soon as prepare has returned', async () => {
  const mac = '52:54:00:12:34:56';
  assert.equal((await prepare({ name: 'web', nics: [{ ...bridge, mac }] })).exitCode, 0);
  const web = await guest('web', { mac });
  assert.equal(await dhcp(web), formulaAddressOf('web'));
  await remove(web);
});

hooks('two clones with one client ID get their own addresses', async () => {
  for (const index of [0, 1]) {
    const [name, mac] = [`clone${index}`, `52:54:00:00:01:0${index}`];
    await prepare({ name, nics: [{ ...bridge, mac }] });
    const clone = await guest(name, { mac });
    assert.equal(await dhcp(clone, { clientId: 'ff00112233' }), formulaAddressOf(name));
  }
  // The second exchange has not replaced the first lease.
  const leases = readFileSync('/var/lib/dnsmasq/k8s-br0/leases', 'utf8');
  for (const index of [0, 1]) {
    assert.match(
      leases,
      new RegExp(`52:54:00:00:01:0${index} ${formulaAddressOf(`clone${index}`)} clone${index} `),
    );
    await remove({ name: `clone${index}`, port: `veth-clone${index}` });
  }
});

hooks('fifty machines that start at once all get unique reservations', async () => {
  const machines = Array.from({ length: 50 }, (_, index) => ({
    name: `machine${index}`,
    nics: [{ ...bridge, mac: `52:54:00:50:00:${index.toString(16).padStart(2, '0')}` }],
  }));
  const runs = await Promise.all(machines.map(prepare));
  assert(runs.every(({ exitCode, stderr }) => exitCode === 0 && stderr === ''));
  assert.deepEqual(errorLines(), []);
  const { entries, lines } = readState();
  for (const { name, nics } of machines) {
    const entry = entries.find(each => each.name === name);
    assert.deepEqual(entry?.macs, [nics[0]?.mac]);
    assert(entry?.ip !== null && entry?.booted);
    assert(lines.some(line => line.startsWith(`${nics[0]?.mac},id:*,`)));
  }
  assertUnique(entries.map(entry => entry.ip));
  assertUnique(entries.map(entry => entry.hostname));
});

hooks('a hook killed at any point leaves files intact and does not block the next hook', async () => {
  // From before the program is loaded until after it has ended, in steps shorter than a write.
  for (let delayMs = 0; delayMs < 120; delayMs += 2) {
    const name = `killed${delayMs}`;
    const xml = domainXml({
      name,
      uuid: randomUUID(),
      nics: [{ ...bridge, mac: `52:54:00:51:00:${delayMs.toString(16).padStart(2, '0')}` }],
    });
    const child = spawn('/etc/libvirt/hooks/qemu', [name, 'prepare', 'begin', '-'], {
      env: hookEnvironment,
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(xml);
    const ended = once(child, 'close');
    const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), delayMs);
    await ended;
    clearTimeout(timer);
    readState();
  }
  const began = performance.now();
  assert.equal(
    (await prepare({ name: 'after', nics: [{ ...bridge, mac: '52:54:00:52:00:00' }] })).exitCode,
    0,
  );
  assert(performance.now() - began < 3000 * busyness(), 'a lock was left behind');
  assert.equal((await virlan('up')).exitCode, 0);
  const { entries, lines } = readState();
  assertUnique(entries.map(entry => entry.ip));
  assert.equal(entries.filter(entry => entry.ip !== null).length, lines.length);
});

hooks('prepare establishes a network that is down', async () => {
  await virlan('down');
  assert.equal((await prepare({ name: 'web', nics: [{ ...bridge, mac: '52:54:00:12:34:56' }] })).exitCode, 0);
  assert.equal((await virlan('plan')).exitCode, 0);
});

hooks(
  'operations that virlan does not handle succeed without output, also with malformed input',
  async () => {
    for (const operation of [
      'start',
      'started',
      'stopped',
      'release',
      'reconnect',
      'migrate',
      'restore',
      'attach',
    ]) {
      assert.deepEqual(await runHook('qemu', ['web', operation, 'begin', '-'], '<broken'), {
        exitCode: 0,
        stderr: '',
        signal: undefined,
      });
    }
  },
);

hooks('prepare of a machine whose XML cannot be read fails only with on-error = abort', async () => {
  const ini = readFileSync('/etc/virlan/virlan.ini', 'utf8');
  const start = () => runHook('qemu', ['web', 'prepare', 'begin', '-'], '<broken');
  assert.equal((await start()).exitCode, 0);
  await configure(ini.replace('[network.k8s-br0]', '[network.k8s-br0]\non-error = abort'));
  const { exitCode, stderr } = await start();
  await configure(ini);
  assert.notEqual(exitCode, 0);
  assert.match(stderr, /^virlan: libvirt's XML of a domain cannot be read: /m);
});

hooks('prepare of a machine with a reservation loads the three bundles of the hook only', async () => {
  // virlan's loader reads bundles with readFileSync; modules of Node's loader are in require.cache.
  const recorder = `const fs = require('node:fs');
    const { readFileSync } = fs;
    const loaded = new Set();
    fs.readFileSync = (path, ...rest) => {
      loaded.add(path);
      return readFileSync(path, ...rest);
    };
    process.on('exit', () => {
      for (const path of Object.keys(require.cache)) loaded.add(path);
      fs.writeFileSync('/tmp/loaded', [...loaded].join('\\n'));
    });`;
  writeFileSync('/tmp/recorder.cjs', recorder);
  const machine = { name: 'web', uuid: randomUUID(), nics: [{ ...bridge, mac: '52:54:00:12:34:56' }] };
  assert.equal((await prepare(machine)).exitCode, 0);
  stubProgram('node', 'exec "$original" --require /tmp/recorder.cjs "$@"');
  assert.equal((await prepare(machine)).exitCode, 0);
  restorePrograms();
  const loaded = readFileSync('/tmp/loaded', 'utf8').split('\n');
  const program = realpathSync('/usr/lib/virlan');
  assert.deepEqual(
    loaded.filter(path => path.startsWith(program)).sort(),
    hookSources.map(source => source.replace(/^src(.*)\.ts$/, `${program}$1.cjs`)).sort(),
  );
});

hooks("the hook of another daemon may remove the default network's link first", async () => {
  const link = '/etc/libvirt/qemu/networks/autostart/default.xml';
  symlinkSync('../default.xml', link);
  // virlan saves the network before it removes the link: in between, the link disappears.
  const removeLink = `const fs = require('node:fs');
    const { renameSync } = fs;
    fs.renameSync = (from, to) => {
      if (to.endsWith('/default-network.json')) fs.rmSync('${link}');
      renameSync(from, to);
    };`;
  writeFileSync('/tmp/remove-link.cjs', removeLink);
  stubProgram('node', 'exec "$original" --require /tmp/remove-link.cjs "$@"');
  assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
  assert(!existsSync(link));
  assert.equal(logLines().at(-1)?.code, 'default-autostart-removed');
});

hooks(
  'a damaged record of the default network is reported, and neither it nor the link is changed',
  async () => {
    const path = '/var/lib/virlan/default-network.json';
    const link = '/etc/libvirt/qemu/networks/autostart/default.xml';
    symlinkSync('../default.xml', link);
    writeFileSync(path, '{"xml": "<network');
    assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
    const line = logLines().at(-1);
    assert.equal(line?.code, 'default-autostart-failed');
    assert.match(String(line.msg), /default-network\.json: not a JSON object: repair it, or remove it/);
    assert.equal(readFileSync(path, 'utf8'), '{"xml": "<network');
    assert(existsSync(link));
  },
);

hooks.run();
