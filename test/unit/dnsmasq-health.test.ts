// dnsmasq-health.test.ts: tests which dnsmasq the watcher ends, and whose process counts as dnsmasq.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { DnsAnswer } from '../../src/dnsmasq/ask.ts';
import { configuredUser, userId } from '../../src/dnsmasq/owner.ts';
import { DnsmasqHealth } from '../../src/watcher/dnsmasq-health.ts';
import { network } from './builders.ts';

const health = suite('dnsmasq health');

/** Checks a dnsmasq once for each pair of process and answer. Returns the processes that were ended. */
async function endedAfter(...checks: readonly [pid: number | null, answer: DnsAnswer][]): Promise<number[]> {
  const ended: number[] = [];
  let now = checks[0];
  const subject = new DnsmasqHealth({
    find: () => now?.[0] ?? null,
    ask: async () => now?.[1] ?? 'closed',
    end: pid => void ended.push(pid),
  });
  for (now of checks) await subject.check(network());
  return ended;
}

health('a dnsmasq that has answered and is silent is ended, and no other', async () => {
  assert.deepEqual(await endedAfter([7, 'answer'], [7, 'silence']), [7]);
  assert.deepEqual(await endedAfter([7, 'answer'], [8, 'silence']), []);
  assert.deepEqual(await endedAfter([7, 'silence'], [7, 'silence']), []);
  assert.deepEqual(await endedAfter([7, 'answer'], [7, 'closed']), []);
  assert.deepEqual(await endedAfter([7, 'answer'], [null, 'silence']), []);
});

health('the user of a dnsmasq is the last one of its configuration, else that of its source', () => {
  assert.equal(configuredUser('# user=root\nuser=dnsmasq\n'), 'dnsmasq');
  assert.equal(configuredUser('user = a\nuser = b '), 'b');
  assert.equal(configuredUser('user='), null);
  assert.equal(configuredUser('interface=k8s-br0\n'), 'nobody');
});

health('a user is found by its whole name', () => {
  const passwd =
    'root:x:0:0:root:/root:/bin/sh\ndnsmasq2:x:5:5::/:/bin/sh\ndnsmasq:x:112:65534::/:/bin/false\nodd\n';
  assert.equal(userId(passwd, 'dnsmasq'), 112);
  assert.equal(userId(passwd, 'dns'), null);
  assert.equal(userId(passwd, 'odd'), null);
});

health.run();
