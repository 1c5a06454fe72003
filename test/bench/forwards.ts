// forwards.ts: measures what a thousand forwards cost: one more of them, and the packets of machines.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { execa } from 'execa';
import { endGuest, forwardMetadata, type RunningMachine, showRunning } from '../sandbox/forwarding.ts';
import { guardedGuest, hook } from '../sandbox/guarded-guest.ts';
import { prepare, runHook } from '../sandbox/hook-calls.ts';
import {
  configure,
  dhcp,
  domainXml,
  internet,
  internetAddress,
  type Namespace,
  virlan,
} from '../sandbox/host.ts';
import { atMostForThroughput, type Compare, megabytes, timeTransfer } from './guard.ts';

const machines = 10;
const forwardsEach = 100;
const bridge = 'k8s-br0';

async function establish(guard: 'others' | 'no'): Promise<void> {
  await configure(`[network.${bridge}]\nstp = no\ndefault-network = keep\nguard = ${guard}\n`);
  assert.equal((await virlan('up')).exitCode, 0);
}

/** Ten machines that libvirt's files show as running, each with a hundred forwards. */
async function addMany(): Promise<RunningMachine[]> {
  const many: RunningMachine[] = [];
  for (let index = 0; index < machines; index++) {
    const mac = `52:54:00:00:02:0${index}`;
    const machine = { name: `many${index}`, uuid: randomUUID(), mac, bridge, port: `none${index}` };
    await prepare({
      name: machine.name,
      uuid: machine.uuid,
      nics: [{ type: 'bridge', source: bridge, mac }],
    });
    many.push(machine);
  }
  return many;
}

function forwardsOf(index: number): string[] {
  return Array.from({ length: forwardsEach }, (_, each) => `port="${20_000 + index * forwardsEach + each}"`);
}

/** Opens all of their forwards, or closes them. */
async function setMany(many: readonly RunningMachine[], isOn: boolean): Promise<void> {
  for (const [index, machine] of many.entries()) showRunning(machine, isOn ? forwardsOf(index) : []);
  assert.equal((await virlan('up')).exitCode, 0);
  const { stdout } = await execa('nft', ['list', 'map', 'ip', `virlan-${bridge}`, 'ports']);
  assert.equal(stdout.match(/ \. \d+ : /g)?.length ?? 0, isOn ? machines * forwardsEach : 0);
}

/** Compares the start of a machine with one forward, and transfers, where there are a thousand and none. */
export async function benchForwards(compare: Compare): Promise<void> {
  await establish('others');
  const many = await addMany();
  const mac = '52:54:00:00:03:01';
  const metadata = forwardMetadata('port="9000"');
  const machine = {
    ...{ name: 'one-more', uuid: randomUUID(), metadata },
    nics: [{ type: 'bridge' as const, source: bridge, mac }],
  };
  const timeForward = (isOn: boolean) => async () => {
    await setMany(many, isOn);
    const began = performance.now();
    await hook('prepare', machine);
    const time = performance.now() - began;
    const { stdout } = await execa('nft', ['list', 'map', 'ip', `virlan-${bridge}`, 'ports']);
    assert.match(stdout, /\. 9000 : /);
    await runHook('qemu', [machine.name, 'release', 'end', '-'], domainXml(machine));
    return time;
  };
  await compare(
    'adding one forward, 1,000 there (hook prepare, watcher away)',
    'none there',
    1.5,
    11,
    timeForward(true),
    timeForward(false),
  );

  const outside = await internet();
  const one = await guardedGuest('one', { mac: '52:54:00:00:01:01' });
  const two = await guardedGuest('two', { mac: '52:54:00:00:01:02' });
  const address = await dhcp(two);
  await dhcp(one);
  const timed = (isOn: boolean, to: Namespace, ip: string) => async () => {
    await establish(isOn ? 'others' : 'no');
    await setMany(many, isOn);
    return timeTransfer(one, to, ip);
  };
  for (const [way, to, ip] of [
    ['machine → machine', two, address],
    ['machine → outside', outside, internetAddress],
  ] as const)
    await compare(
      `${megabytes} MB of TCP, ${way}, guard = others and 1,000 forwards`,
      'guard = no, no forward',
      atMostForThroughput,
      9,
      timed(true, to, ip),
      timed(false, to, ip),
    );
  for (const each of many) await endGuest(each);
  for (const { port } of [one, two, outside]) await execa('ip', ['link', 'delete', port]);
}
