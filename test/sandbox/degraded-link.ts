// Makes the link of a host or of a member of etcd slow and lossy. Many kernels have no netem, so a program,
// degraded-link.py, takes its place: the frames are real, and so are their delay and loss.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { execa } from 'execa';
import { type ClusterHost, portOf, underlay } from './cluster-hosts.ts';
import { checkout } from './virlan.ts';

/** The delay and the loss in each direction. */
export interface Degradation {
  readonly delayMs: number;
  readonly lossPercent: number;
  /** Decides which frames are lost. */
  readonly seed: number;
}

/** Makes the link of a namespace on the underlay slow and lossy. Returns a function that ends that. */
export async function degradeLink(
  namespace: { readonly name: string },
  { delayMs, lossPercent, seed }: Degradation,
): Promise<() => Promise<void>> {
  const port = portOf(namespace);
  const bridge = `br-${namespace.name}`;
  const inner = `in-${namespace.name}`;
  const outer = `out-${namespace.name}`;
  const script = `${checkout}/test/sandbox/degraded-link.py`;
  const args = [script, inner, outer, `${delayMs}`, `${lossPercent}`, `${seed}`];
  const relay = spawn('python3', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [ready] = await Promise.race([once(relay.stdout, 'data'), once(relay, 'exit')]);
  if (!String(ready).startsWith('ready')) throw new Error(`${args.join(' ')} did not start: ${ready}`);
  await execa('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await execa('ip', ['link', 'set', bridge, 'up']);
  await execa('ip', ['link', 'set', inner, 'master', bridge, 'up']);
  await execa('ip', ['link', 'set', outer, 'master', underlay, 'up']);
  await execa('ip', ['link', 'set', port, 'master', bridge]);
  return async () => {
    await execa('ip', ['link', 'set', port, 'master', underlay]);
    const ended = once(relay, 'exit');
    relay.kill('SIGKILL');
    await ended;
    await execa('ip', ['link', 'delete', bridge]);
  };
}

/** Throws an AssertionError unless packets between a host and an address take the delay twice, and some are lost. */
export async function assertDegraded(host: ClusterHost, address: string, delayMs: number): Promise<void> {
  const stdout = await host.run('sh', '-c', `ping -n -q -c 60 -i 0.05 -W 2 ${address} || true`);
  const [, loss] = / (\d+(?:\.\d+)?)% packet loss/.exec(stdout) ?? [];
  const [, least] = / = ([\d.]+)\//.exec(stdout) ?? [];
  assert(Number(loss) > 0 && Number(least) >= 2 * delayMs, stdout);
}
