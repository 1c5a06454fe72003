// Steps that the kernel or a program refuses: the others take effect, and only what took effect is reported.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { execa } from 'execa';
import { suite } from 'uvu';
import { parseIpv4 } from '../../src/address/ip.ts';
import { applySteps } from '../../src/network/apply.ts';
import type { Step } from '../../src/network/steps/steps.ts';
import { runHook } from './hook-calls.ts';
import { configure, installVirlan } from './host.ts';
import { logLines } from './log.ts';
import { until } from './until.ts';
import { up } from './virlan-commands.ts';

const applies = suite('partial apply');

const ip = parseIpv4('10.77.0.1');
assert(ip !== null);
/** The kernel's limit for a bridge is 65535 (br_dev_setup() in net/bridge/br_device.c). */
const refused: Step = { kind: 'set link', link: 'br7', attribute: 'mtu', from: 1500, to: 70_000 };
const address: Step = {
  kind: 'add address',
  link: 'br7',
  address: { ip, prefixLength: 24, broadcast: null },
};
const linkUp: Step = { kind: 'set link', link: 'br7', attribute: 'state', from: 'down', to: 'up' };

interface ShownLink {
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly local: string }[];
}

async function showBridge(): Promise<{ isUp: boolean; addresses: string[] }> {
  const [link] = JSON.parse(
    (await execa('ip', ['-json', '-4', 'address', 'show', 'br7'])).stdout,
  ) as ShownLink[];
  return {
    isUp: link?.flags.includes('UP') ?? false,
    addresses: (link?.addr_info ?? []).map(({ local }) => local),
  };
}

applies('a link step that the kernel refuses does not prevent later steps', async () => {
  await execa('ip', ['link', 'add', 'br7', 'type', 'bridge']);
  const { done, failed, skipped } = await applySteps([refused, address, linkUp], 'continue');
  assert.deepEqual(done, [address, linkUp]);
  assert.deepEqual(skipped, []);
  assert.deepEqual(
    failed.map(({ step }) => step),
    [refused],
  );
  assert.match(failed[0]?.error.message ?? '', /^ip link set dev br7 mtu 70000: .*mtu/);
  assert.deepEqual(await showBridge(), { isUp: true, addresses: ['10.77.0.1'] });
});

applies('with the strict form later steps are skipped, and nothing changes', async () => {
  await execa('ip', ['link', 'delete', 'br7']);
  await execa('ip', ['link', 'add', 'br7', 'type', 'bridge']);
  const { done, failed, skipped } = await applySteps([refused, address, linkUp], 'stop');
  assert.deepEqual([done, failed.length, skipped], [[], 1, [address, linkUp]]);
  assert.deepEqual(await showBridge(), { isUp: false, addresses: [] });
});

applies('a repair in which nothing worked is not reported as one', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await up();
  const { stdout: pid } = await execa('cat', ['/run/dnsmasq/k8s-br0.pid']);
  process.kill(Number(pid), 'SIGKILL');
  const occupant = createSocket('udp4');
  await until(() => isFree(occupant), 5);

  const before = logLines().length;
  await runHook('daemon', ['-', 'start', '-', 'start']);
  occupant.close();
  const codes = logLines()
    .slice(before)
    .map(({ code }) => code);
  assert(codes.includes('step-failed'), String(codes));
  assert(!codes.includes('network-established'), String(codes));

  await runHook('daemon', ['-', 'start', '-', 'start']);
  const after = logLines().map(({ code, steps }) => `${code} ${JSON.stringify(steps)}`);
  assert.match(after.at(-1) ?? '', /^network-established .*"subject":"dnsmasq"/);
});

/** Binds the DHCP server's port; false while a dying dnsmasq still holds it. */
async function isFree(socket: ReturnType<typeof createSocket>): Promise<boolean> {
  try {
    socket.bind({ port: 67, exclusive: true });
    await once(socket, 'listening');
    return true;
  } catch {
    return false;
  }
}

applies.run();
