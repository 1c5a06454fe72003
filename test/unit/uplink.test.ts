// uplink.test.ts: tests by which link the host reaches the outside, from what `ip route get` prints.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import { readUplink, type Uplink } from '../../src/network/routes/uplink.ts';
import { ip } from './builders.ts';

const uplinks = suite('uplink');

/** Returns the uplink that is read where `ip route get` prints this, or fails with this. */
function read(outcome: string | CommandError): Promise<Uplink> {
  const run = async () => {
    if (outcome instanceof CommandError) throw outcome;
    return outcome;
  };
  return readUplink({ run }, 'k8s-br0', ip('192.168.100.7'));
}

function failed(stderr: string): CommandError {
  return new CommandError('ip route get: the message', { reason: 'failed', exitCode: 2, stderr });
}

uplinks('is the link and the next hop of a route', async () => {
  assert.deepEqual(await read('[{"dst":"192.0.2.1","gateway":"203.0.113.2","dev":"eth0"}]'), {
    kind: 'via',
    dev: 'eth0',
    gateway: '203.0.113.2',
  });
  assert.deepEqual(await read('[{"dst":"192.0.2.1","dev":"ppp0"}]'), {
    kind: 'via',
    dev: 'ppp0',
    gateway: null,
  });
});

uplinks('that is missing has the reason of the kernel, or the message of the error', async () => {
  const cases = [
    ['RTNETLINK answers: Network is unreachable\n', 'Network is unreachable'],
    ['Warning: deprecated\nError: Nexthop has invalid gateway.\n', 'Nexthop has invalid gateway.'],
    ['', 'ip route get: the message'],
  ] as const;
  for (const [stderr, reason] of cases)
    assert.deepEqual(await read(failed(stderr)), { kind: 'unreachable', reason });
  assert.deepEqual(await read('[]'), { kind: 'unreachable', reason: 'no route' });
});

uplinks("is not missing because the address that is asked for first is refused as nobody's", async () => {
  const run = async (_program: string, args: readonly string[]) => {
    if (args.includes('192.0.2.1')) throw failed('RTNETLINK answers: Invalid argument\n');
    return '[{"dst":"9.9.9.9","gateway":"203.0.113.2","dev":"eth0"}]';
  };
  assert.deepEqual(await readUplink({ run }, 'k8s-br0', ip('192.168.100.7')), {
    kind: 'via',
    dev: 'eth0',
    gateway: '203.0.113.2',
  });
});

uplinks.run();
