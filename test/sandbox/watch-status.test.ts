// `virlan status --watch` in real terminals: what it draws, how it ends, and a watcher that restarts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  startLibvirtd,
  startMachine,
  virlan,
} from './host.ts';
import { openTerminal, type Terminal } from './terminal.ts';
import { until } from './until.ts';
import { assertFailure } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const views = suite('status --watch');

const command = '/usr/sbin/virlan status --watch';
const longName = `worker-${'x'.repeat(60)}-1`;

function defineOnNetwork(name: string): Promise<void> {
  return define(domainXml({ name, nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
}

async function open(columns: number, rows: number): Promise<Terminal> {
  const terminal = await openTerminal(columns, rows, command);
  await terminal.shows(/^virlan \S+, watcher running, libvirt connected/);
  return terminal;
}

/** Checks that a view has ended by a key: with 0, nothing written, and the terminal as it was. */
async function assertEnds(terminal: Terminal, keys: string): Promise<void> {
  terminal.press(keys);
  const { exitCode, isRestored } = await terminal.ended();
  assert.equal(exitCode, 0);
  assert(isRestored);
}

views.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
});

views('a machine appears, runs and stops, and q ends', async () => {
  const terminal = await open(80, 24);
  await terminal.shows(/^ {2}no machines yet$/);
  await defineOnNetwork('web');
  await terminal.shows(/^ {2}web {2,}shut off /);
  await startMachine('web');
  await terminal.shows(/^ {2}web {2,}running /);
  await destroyMachine('web');
  await terminal.shows(/^ {2}web {2,}shut off /);
  // Keys that mean nothing, an arrow among them.
  terminal.press('x\r\u001b[A');
  await assertEnds(terminal, 'q');
});

views('Esc and Ctrl-C end it too', async () => {
  for (const key of ['\u001b', '\u0003']) await assertEnds(await open(80, 24), key);
});

views('what does not fit is counted, and a new size is used at once', async () => {
  for (let number = 1; number <= 28; number++) await defineOnNetwork(`m${number}`);
  await defineOnNetwork(longName);
  const terminal = await open(80, 24);
  await terminal.shows(/^… and \d+ more lines$/);
  assert.equal(terminal.screen().length, 24);
  assert(terminal.screen().every(line => line.length <= 80));
  await terminal.resize(200, 50);
  await terminal.shows(new RegExp(`^  ${longName}  shut off `));
  assert(!terminal.screen().some(line => line.includes('more lines')));
  await terminal.resize(80, 70);
  await terminal.shows(/^ {2}worker-x+… +shut off /);
  assert(terminal.screen().every(line => line.length <= 80));
  await assertEnds(terminal, 'q');
  const wide = await open(200, 50);
  await wide.shows(new RegExp(`^  ${longName}  shut off `));
  await assertEnds(wide, 'q');
  assert((await virlan('status')).stdout.includes(longName), 'the output for a program has whole names');
});

views('a problem is drawn above the machines, and goes when it is repaired', async () => {
  const terminal = await open(80, 70);
  await configure('[network.k8s-br0]\nstp = perhaps\n');
  await terminal.shows(/^! k8s-br0: .*stp/);
  const drawn = terminal.screen();
  const first = (line: RegExp) => drawn.findIndex(each => line.test(each));
  assert(first(/^! k8s-br0: .*stp/) < first(/^ {2}MACHINE /));
  await configure('[network.k8s-br0]\nstp = no\n');
  const isGone = (lines: readonly string[]) => lines.length > 0 && !lines.some(line => /^! .*stp/.test(line));
  await until(() => isGone(terminal.screen()), 20);
  await assertEnds(terminal, 'q');
});

views('while the watcher restarts, the last status stays, and it is followed again', async () => {
  const terminal = await open(80, 70);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await stopWatcher(signal);
    await terminal.shows(/^virlan \S+, the watcher is away: last seen \d\d:\d\d:\d\dZ/);
    assert(terminal.screen().some(line => line.startsWith('  m1 ')));
    await startWatcher();
    await terminal.shows(/^virlan \S+, watcher running, libvirt connected/);
  }
  await stopWatcher();
  await terminal.shows(/the watcher is away/);
  await assertEnds(terminal, 'q');
  await startWatcher();
});

views('a signal ends it, and the terminal is as it was', async () => {
  for (const [signal, exitCode] of [
    ['SIGTERM', 143],
    ['SIGINT', 0],
    ['SIGHUP', 129],
  ] as const) {
    const terminal = await open(80, 24);
    terminal.signal(signal);
    const end = await terminal.ended();
    assert.equal(end.exitCode, exitCode, signal);
    assert(end.isRestored, signal);
  }
});

views('the end of the terminal ends it', async () => {
  const terminal = await open(80, 24);
  await terminal.hangUp();
});

views('with --json each change is a line, and the end of the watcher is a failure', async () => {
  const program = execa('/usr/sbin/virlan', ['status', '--watch', '--json'], { reject: false });
  let output = '';
  program.stdout.setEncoding('utf8').on('data', chunk => {
    output += chunk;
  });
  const last = () => JSON.parse(output.split('\n').at(-2) ?? 'null');
  await until(() => last()?.watcher.libvirt === 'connected', 20);
  const before = output.split('\n').length;
  await startMachine('m1');
  const stateOfM1 = () =>
    last().networks[0].machines.find((each: { name: string }) => each.name === 'm1').state;
  await until(() => stateOfM1() === 'running', 20);
  assert(output.split('\n').length > before);
  await destroyMachine('m1');
  await stopWatcher();
  const { exitCode, stderr } = await program;
  assert.equal(exitCode, 1);
  assert.equal(stderr, 'virlan: the watcher has ended: see systemctl status virlan');
});

views('without a watcher it fails, and says how to start it', async () => {
  const terminal = await openTerminal(80, 24, command);
  const { exitCode, text } = await terminal.ended();
  assert.equal(exitCode, 1);
  assert.match(text, /^virlan: no watcher to follow: systemctl start virlan\r$/m);
  assert(!text.includes('\u001b'), 'nothing was drawn');
  assertFailure(await virlan('status', '--watch', '--json'), /no watcher to follow: systemctl start virlan/);
});

views('without a terminal, and with another configuration, it is wrong usage', async () => {
  const piped = await virlan('status', '--watch');
  assert.equal(piped.exitCode, 2);
  assert.equal(piped.stderr, 'virlan: status --watch needs a terminal: for programs, add --json');
  const other = await virlan('status', '--watch', '--json', '--config', '/tmp/other.ini');
  assert.equal(other.exitCode, 2);
  assert.match(other.stderr, /leave out --config/);
});

views('an error ends it, and is printed when the terminal is as it was', async () => {
  const following: ServerResponse[] = [];
  const watcher = createServer((_, response) => following.push(response));
  rmSync('/run/virlan/socket', { force: true });
  await once(watcher.listen('/run/virlan/socket'), 'listening');
  const terminal = await openTerminal(80, 24, command);
  await until(() => following.length === 1);
  following[0]?.write(`${JSON.stringify({ error: 'the ledger cannot be read' })}\n`);
  await terminal.shows(/^! the ledger cannot be read$/);
  following[0]?.write('garbage\n');
  const { exitCode, text, isRestored } = await terminal.ended();
  assert.equal(exitCode, 1);
  assert.match(text, /virlan: .*JSON/);
  assert(isRestored);
  watcher.closeAllConnections();
  watcher.close();
});

views.run();
