// programs.ts: what real programs and the kernel do with 100,000 machines: dnsmasq, and the tables of a bridge.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Returns the resident memory of a process in MiB. */
export function memoryOf(pid: number | undefined): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

const port = 5399;

/** Returns the milliseconds until dnsmasq answers for gateway.test; it does nothing else meanwhile. */
async function timeAnswer(): Promise<number> {
  const name = Buffer.from('\x07gateway\x04test\x00', 'latin1');
  const query = Buffer.concat([
    Buffer.from('000101000001000000000000', 'hex'),
    name,
    Buffer.from('00010001', 'hex'),
  ]);
  const socket = createSocket('udp4');
  try {
    const began = performance.now();
    const answered = once(socket, 'message');
    // An ICMP error while dnsmasq starts is not an answer.
    socket.on('error', () => {});
    const timer = setInterval(() => socket.send(query, port, '127.0.0.1'), 5);
    socket.send(query, port, '127.0.0.1');
    await answered.finally(() => clearInterval(timer));
    return performance.now() - began;
  } finally {
    socket.close();
  }
}

/** The times in milliseconds of dnsmasq with some files, and its memory in MiB. */
interface DnsmasqCosts {
  readonly start: number;
  readonly reload: number;
  readonly memory: number;
}

/** Measures dnsmasq with these lines in its hostsfile and in its file of names. */
export async function measureDnsmasq(
  hostsfile: readonly string[],
  names: readonly string[],
): Promise<DnsmasqCosts> {
  const directory = '/tmp/scale-dnsmasq';
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/hostsfile`, `${hostsfile.join('\n')}\n`);
  writeFileSync(`${directory}/names`, `10.128.0.1 gateway\n${names.join('\n')}\n`);
  const lines = [
    ...['user=root', 'no-resolv', 'no-hosts', `port=${port}`, 'listen-address=127.0.0.1', 'bind-interfaces'],
    ...['domain=test', 'local=/test/', 'expand-hosts', `addn-hosts=${directory}/names`],
    ...['dhcp-range=10.128.0.2,10.129.255.254,255.254.0.0,3600', `dhcp-hostsfile=${directory}/hostsfile`],
    ...[`dhcp-leasefile=${directory}/leases`, `pid-file=${directory}/pid`],
  ];
  writeFileSync(`${directory}/conf`, `${lines.join('\n')}\n`);
  const began = performance.now();
  const running: ChildProcess = spawn('dnsmasq', ['--keep-in-foreground', `--conf-file=${directory}/conf`], {
    stdio: 'ignore',
  });
  await timeAnswer();
  const start = performance.now() - began;
  await pause(500);
  running.kill('SIGHUP');
  // dnsmasq handles the signal before the next query.
  await pause(20);
  const reload = 20 + (await timeAnswer());
  const memory = memoryOf(running.pid);
  const ended = once(running, 'exit');
  running.kill('SIGKILL');
  await ended;
  return { start, reload, memory };
}

/** Returns the milliseconds that one program takes for many commands on its standard input. */
function timeBatch(program: string, commands: readonly string[]): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(program, ['-batch', '-'], {
    input: `${commands.join('\n')}\n`,
    encoding: 'utf8',
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`${program}: ${stderr.slice(0, 200)}`);
  return performance.now() - began;
}

function run(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** Returns the bytes of the objects that some caches of the kernel's allocator have. */
function slabMiB(): number {
  const [, kilobytes = ''] = /^Slab:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

/** Reports how the kernel took entries that FRR would have learned. */
export interface KernelCosts {
  readonly fdb: number;
  readonly neighbours: number;
  readonly fdbMs: number;
  readonly neighbourMs: number;
  readonly memory: number;
}

/** Adds the entries of machines on other hosts to a bridge, as FRR does for EVPN. */
export function measureKernel(
  machines: readonly { readonly mac: string; readonly ip: string }[],
): KernelCosts {
  run('ip', 'link', 'add', 'scale-br0', 'type', 'bridge');
  run(
    'ip',
    'link',
    'add',
    'scale-vx',
    'type',
    'vxlan',
    'id',
    '100',
    'dstport',
    '4789',
    'local',
    '127.0.0.1',
    'nolearning',
  );
  run('ip', 'link', 'set', 'scale-vx', 'master', 'scale-br0');
  for (const link of ['scale-br0', 'scale-vx']) run('ip', 'link', 'set', link, 'up');
  const before = slabMiB();
  const fdbMs = timeBatch(
    'bridge',
    machines.flatMap(({ mac }) => [
      `fdb replace ${mac} dev scale-vx dst 10.200.0.2 self extern_learn`,
      `fdb replace ${mac} dev scale-vx master extern_learn`,
    ]),
  );
  const neighbourMs = timeBatch(
    'ip',
    machines.map(({ mac, ip }) => `neigh replace ${ip} lladdr ${mac} dev scale-br0 nud noarp extern_learn`),
  );
  const memory = slabMiB() - before;
  const fdb = run('bridge', 'fdb', 'show', 'dev', 'scale-vx').match(/extern_learn/g)?.length ?? 0;
  const neighbours =
    run('ip', 'neigh', 'show', 'dev', 'scale-br0', 'nud', 'all').match(/extern_learn/g)?.length ?? 0;
  run('ip', 'link', 'delete', 'scale-vx');
  run('ip', 'link', 'delete', 'scale-br0');
  return { fdb, neighbours, fdbMs, neighbourMs, memory };
}
