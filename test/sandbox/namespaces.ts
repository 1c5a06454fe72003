import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { checkout } from './virlan.ts';

/** A network namespace to send and receive from. */
export interface Namespace {
  /** Its name for `ip netns`; the private host itself has none. */
  name?: string;
}

/** The private host itself. */
export const host: Namespace = {};

/** A network namespace that is linked with the host. Its own end of the link is eth0. */
export interface Linked extends Namespace {
  name: string;
  /** The host's end of the link. */
  port: string;
}

/** A network namespace on a bridge, in a machine's stead. Its port is what a tap is to a machine. */
export interface Guest extends Linked {
  mac: string;
}

/** The command line that runs a command in a namespace. */
export function within({ name }: Namespace, command: string, args: string[]): [string, string[]] {
  return name ? ['ip', ['netns', 'exec', name, command, ...args]] : [command, args];
}

/** Runs a command in a namespace and returns what it prints. Throws when it fails. */
export async function run(namespace: Namespace, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await execa(...within(namespace, command, args), { timeout: 60_000 });
  return stdout;
}

async function ip(...args: string[]): Promise<void> {
  await execa('ip', args);
}

/**
 * Adds a guest to a bridge, and resolves when the bridge forwards its frames: at once, or after twice the bridge's
 * forward delay where it speaks STP. The name has 10 characters at most.
 */
export async function guest(
  name: string,
  { mac, bridge = 'k8s-br0' }: { mac: string; bridge?: string },
): Promise<Guest> {
  const port = `veth-${name}`;
  await ip('netns', 'add', name);
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  await ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', name);
  await ip('-n', name, 'link', 'set', 'eth0', 'up');
  await ip('link', 'set', port, 'master', bridge, 'up');
  await forwarding(port);
  return { name, mac, port };
}

/** The kernel tells of a port's state by netlink only, which Node cannot hear; reading it costs 20 µs. */
async function forwarding(port: string): Promise<void> {
  const stateFile = `/sys/class/net/${port}/brport/state`;
  const deadline = Date.now() + 40_000;
  while (readFileSync(stateFile, 'utf8').trim() !== '3') {
    if (Date.now() > deadline) throw new Error(`${port} does not forward after 40 s`);
    await setTimeout(20);
  }
}

/**
 * Has the guest ask for an address with udhcpc, and take it and the default route it was offered.
 * Returns the address, or throws when nobody answers in some 10 s. The client id is hex.
 */
export async function dhcp(
  { name }: Guest,
  { hostname = name, clientId }: { hostname?: string; clientId?: string } = {},
): Promise<string> {
  const script = `${checkout}/test/sandbox/udhcpc.sh`;
  const once = ['-f', '-n', '-q', '-t', '10', '-T', '1'];
  const request = ['-i', 'eth0', '-x', `hostname:${hostname}`, '-s', script];
  const identity = clientId === undefined ? [] : ['-x', `0x3d:${clientId}`];
  return run({ name }, 'busybox', 'udhcpc', ...once, ...request, ...identity);
}

/** Where internet() is, and where the private host's resolv.conf looks for a name server. */
export const internetAddress = '203.0.113.2';

/**
 * The world behind the host: 203.0.113.2/24, where the host is 203.0.113.1 and has its default route to.
 * Its own default route leads to the host, so it can send to machines, too: whether it may is the firewall's to say.
 */
export async function internet(): Promise<Linked> {
  const name = 'internet';
  const port = 'uplink';
  await ip('netns', 'add', name);
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  await ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  await ip('-n', name, 'address', 'add', `${internetAddress}/24`, 'dev', 'eth0');
  await ip('-n', name, 'link', 'set', 'eth0', 'up');
  await ip('-n', name, 'route', 'add', 'default', 'via', '203.0.113.1');
  await ip('address', 'add', '203.0.113.1/24', 'dev', port);
  await ip('link', 'set', port, 'up');
  await ip('route', 'add', 'default', 'via', internetAddress);
  return { name, port };
}

/** Removes a guest or the internet, with its link. */
export async function remove({ name, port }: Linked): Promise<void> {
  // Left to the kernel, the link would go some time after the namespace.
  await ip('link', 'delete', port);
  await ip('netns', 'delete', name);
}
