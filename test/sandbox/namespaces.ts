// Network namespaces linked with the private host: guests in place of machines, and the internet.
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { checkout } from './virlan.ts';

/** A network namespace that sends and receives packets. */
export interface Namespace {
  /** Name for `ip netns`; absent for the private host itself. */
  name?: string;
}

/** The private host itself. */
export const host: Namespace = {};

/** A network namespace connected to the host by a link. Its own end of the link is eth0. */
export interface Linked extends Namespace {
  name: string;
  /** Name of the host's end of the link. */
  port: string;
}

/** A network namespace on a bridge, in place of a machine. Its port corresponds to a machine's tap. */
export interface Guest extends Linked {
  mac: string;
}

/** Returns the command line that runs a command in a namespace. */
export function within({ name }: Namespace, command: string, args: string[]): [string, string[]] {
  return name ? ['ip', ['netns', 'exec', name, command, ...args]] : [command, args];
}

/** Runs a command in a namespace and returns its standard output. Throws if it fails. */
export async function run(namespace: Namespace, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await execa(...within(namespace, command, args), { timeout: 60_000 });
  return stdout;
}

async function ip(...args: string[]): Promise<void> {
  await execa('ip', args);
}

/**
 * Adds a guest to a bridge. Resolves when the bridge forwards its frames: at once without STP, otherwise
 * after twice the bridge's forward delay. The name has at most 10 characters.
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
  await portForwards(port);
  return { name, mac, port };
}

/**
 * Waits until a port forwards. The kernel announces this only by netlink, which Node cannot read, so it is
 * polled.
 */
async function portForwards(port: string): Promise<void> {
  const stateFile = `/sys/class/net/${port}/brport/state`;
  const deadline = Date.now() + 40_000;
  while (readFileSync(stateFile, 'utf8').trim() !== '3') {
    if (Date.now() > deadline) throw new Error(`${port} does not forward after 40 s`);
    await setTimeout(20);
  }
}

/**
 * Requests an address for the guest with udhcpc and applies it with the offered default route and MTU. Returns the
 * address. Throws if there is no answer within about 10 s. The client ID is hexadecimal.
 */
export async function dhcp(
  { name }: Guest,
  { hostname = name, clientId }: { hostname?: string; clientId?: string } = {},
): Promise<string> {
  const script = `${checkout}/test/sandbox/udhcpc.sh`;
  const once = ['-f', '-n', '-q', '-t', '10', '-T', '1'];
  const request = ['-i', 'eth0', '-O', 'mtu', '-x', `hostname:${hostname}`, '-s', script];
  const identity = clientId === undefined ? [] : ['-x', `0x3d:${clientId}`];
  return run({ name }, 'busybox', 'udhcpc', ...once, ...request, ...identity);
}

/** The address of internet(), which the private host's resolv.conf names as its name server. */
export const internetAddress = '203.0.113.2';

/**
 * Connects the host to an internet: a namespace with 203.0.113.2/24, the host's default route. The host has
 * 203.0.113.1. The default route of the internet leads to the host, so only the firewall protects machines
 * from it.
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

/** Removes a guest or the internet with its link. */
export async function remove({ name, port }: Linked): Promise<void> {
  // The kernel would remove the link some time after the namespace.
  await ip('link', 'delete', port);
  await ip('netns', 'delete', name);
}
