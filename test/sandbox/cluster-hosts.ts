// Several hosts within a private host, on one underlay. Each has namespaces of its own, and runs the virlan that is
// installed in the private host. Their machines are network namespaces of the private host.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { execa } from 'execa';
import { hookEnvironment } from './hook-calls.ts';
import { domainXml, type Machine, type Nic } from './machine.ts';
import { type Guest, type Namespace, run } from './namespaces.ts';
import { until } from './until.ts';
import { checkout, type Outcome } from './virlan.ts';

/** The bridge of the private host that the hosts are plugged into. */
export const underlay = 'underlay';

/** The link of each host on the underlay. */
export const lan = 'lan';

/** The addresses of the hosts on the underlay. */
export const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3'] as const;

/** Returns virlan.ini of one of them, with more lines for its network. Each has a part of the addresses. */
export function ini(index: number, ...lines: readonly string[]): string {
  const own = addresses[index];
  const peers = addresses.filter(each => each !== own).join(', ');
  return [
    '[network.k8s-br0]',
    'vni = 100',
    `dhcp-range = 192.168.100.${10 + index * 80}-192.168.100.${89 + index * 80}`,
    ...lines,
    '[cluster]',
    `address = ${own}`,
    `peers = ${peers}`,
    '',
  ].join('\n');
}

/** A host. As a namespace it is its network alone. */
export class ClusterHost implements Namespace {
  readonly #process: ChildProcess;
  readonly #pid: number;
  #watcher: { process: ChildProcess; pid: number } | null = null;

  private constructor(
    readonly name: string,
    readonly address: string,
    process: ChildProcess,
    pid: number,
  ) {
    this.#process = process;
    this.#pid = pid;
  }

  /** Starts a host that has an address on the underlay. The name has at most 10 characters. */
  static async start(name: string, address: string): Promise<ClusterHost> {
    const namespaces = ['--mount', '--net', '--pid', '--uts', '--fork', '--mount-proc', '--kill-child'];
    const script = `${checkout}/test/sandbox/inner-host.sh`;
    const child = spawn('unshare', [...namespaces, script, name], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [ready] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    if (!String(ready).startsWith('ready')) throw new Error(`${name} did not start: ${ready}`);
    const pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim());
    await execa('ip', ['netns', 'attach', name, `${pid}`]);
    const host = new ClusterHost(name, address, child, pid);
    await plug(host, address);
    return host;
  }

  /** Returns the command line that runs a command in all namespaces of the host. */
  #within(command: string, args: readonly string[]): [string, string[]] {
    return ['nsenter', ['-t', `${this.#pid}`, '-m', '-n', '-p', '-u', '--wd=/', command, ...args]];
  }

  /** Runs a command on the host and returns its standard output. Throws if it fails. */
  async run(command: string, ...args: string[]): Promise<string> {
    const { stdout } = await execa(...this.#within(command, args), { timeout: 60_000 });
    return stdout;
  }

  /** Runs virlan and returns its outcome, also if it fails. */
  async virlan(...args: string[]): Promise<Outcome> {
    const run = await execa(...this.#within('/usr/sbin/virlan', args), { reject: false, timeout: 60_000 });
    return { exitCode: run.exitCode ?? -1, stdout: run.stdout, stderr: run.stderr };
  }

  /** Writes a file. */
  async write(path: string, text: string): Promise<void> {
    await execa(...this.#within('tee', [path]), { input: text, stdout: 'ignore' });
  }

  /** Writes virlan.ini. */
  configure(text: string): Promise<void> {
    return this.write('/etc/virlan/virlan.ini', text);
  }

  /** Starts the watcher, and resolves once it answers. */
  async watch(): Promise<void> {
    const process = spawn(...this.#within('/usr/sbin/virlan', ['watch']), { stdio: 'inherit' });
    const watcher = async () => JSON.parse((await this.virlan('status', '--json')).stdout).watcher;
    await until(async () => (await watcher()).running);
    this.#watcher = { process, pid: (await watcher()).pid };
  }

  /** Ends the watcher by a signal. */
  async endWatch(signal: 'TERM' | 'KILL' = 'TERM'): Promise<void> {
    if (this.#watcher === null) throw new Error('the watcher was not started');
    const { process, pid } = this.#watcher;
    const ended = once(process, 'exit');
    // nsenter does not pass signals on.
    await this.run('kill', `-${signal}`, `${pid}`);
    await ended;
    this.#watcher = null;
  }

  /**
   * Calls the hooks of a machine that starts as libvirt does, and adds a guest. It keeps its metadata and its isolation
   * when it moves.
   */
  async machine(name: string, mac: string, metadata = '', nic: Pick<Nic, 'isolated'> = {}): Promise<Guest> {
    const guest = { name, mac, port: `veth-${name}` };
    machines.set(name, { uuid: machines.get(name)?.uuid ?? randomUUID(), metadata, nic });
    await this.#start(guest, async () => {
      await execa('ip', ['netns', 'add', name]);
      const inside = ['peer', 'name', 'eth0', 'address', mac, 'netns', name];
      await execa('ip', ['link', 'add', guest.port, 'netns', this.name, 'type', 'veth', ...inside]);
      await execa('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
      await execa('ip', ['-n', name, 'link', 'set', 'eth0', 'up']);
    });
    return guest;
  }

  /** Takes a machine over from another host while it runs. It sends nothing by itself. */
  async takeOver(guest: Guest, from: Namespace & { name: string }): Promise<void> {
    await this.#start(guest, () =>
      execa('ip', ['-n', from.name, 'link', 'set', guest.port, 'netns', this.name]),
    );
  }

  async #start({ name, mac, port }: Guest, makePort: () => Promise<unknown>): Promise<void> {
    const bridge = 'k8s-br0';
    const known = machines.get(name);
    if (known === undefined) throw new Error(`${name} was not started by \`machine\``);
    const { uuid, metadata } = known;
    const nic = { type: 'bridge' as const, source: bridge, mac, ...known.nic };
    const machine: Machine = { name, uuid, metadata, nics: [nic] };
    await this.#hook('prepare', machine);
    await makePort();
    await run(this, 'ip', 'link', 'set', port, 'master', bridge, 'up');
    // libvirt's part.
    if (nic.isolated) await run(this, 'bridge', 'link', 'set', 'dev', port, 'isolated', 'on');
    await this.#hook('start', { ...machine, nics: [{ ...nic, tap: port }] });
  }

  async #hook(operation: 'prepare' | 'start', machine: Machine): Promise<void> {
    const environment = Object.entries(hookEnvironment).map(([key, value]) => `${key}=${value}`);
    const call = ['/etc/libvirt/hooks/qemu', machine.name, operation, 'begin', '-'];
    const { stderr } = await execa(...this.#within('env', ['-i', ...environment, ...call]), {
      input: domainXml(machine),
      timeout: 30_000,
    });
    if (stderr !== '') throw new Error(stderr);
  }

  /** Ends the host with all that runs on it. */
  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }
}

/** Keeps what stays with a machine when it moves, by its name. */
const machines = new Map<
  string,
  { readonly uuid: string; readonly metadata: string; readonly nic: Pick<Nic, 'isolated'> }
>();

/** Makes the underlay. Call it once, before the first host. */
export async function makeUnderlay(): Promise<void> {
  await execa('ip', ['link', 'add', underlay, 'type', 'bridge']);
  await execa('ip', ['link', 'set', underlay, 'up']);
}

/** Returns the port of a namespace on the underlay. */
export function portOf({ name }: { readonly name: string }): string {
  return `ul-${name}`;
}

/** Plugs a namespace into the underlay, with an address. */
export async function plug(namespace: Namespace & { name: string }, address: string): Promise<void> {
  const port = portOf(namespace);
  await execa('ip', ['link', 'add', port, 'type', 'veth', 'peer', 'name', lan, 'netns', namespace.name]);
  await execa('ip', ['link', 'set', port, 'master', underlay, 'up']);
  await run(namespace, 'ip', 'address', 'add', `${address}/24`, 'dev', lan);
  await run(namespace, 'ip', 'link', 'set', lan, 'up');
}

/** Returns the links and the rules of a host, in which virlan could leave something. Those of others do not count. */
export async function traces(host: ClusterHost): Promise<string> {
  const links = JSON.parse(await host.run('ip', '-json', 'link', 'show')) as { ifname: string }[];
  const names = links.map(({ ifname }) => ifname).filter(name => !/^(veth-|virbr)/.test(name));
  return [names.sort().join(), await host.run('nft', 'list', 'ruleset')].join('\n');
}
