// dnsmasq-health.test.ts: tests which dnsmasq the watcher ends, and whose process counts as dnsmasq.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { DnsAnswer } from '../../src/dnsmasq/ask.ts';
import { isUserOfDnsmasq } from '../../src/dnsmasq/owner.ts';
import { hasUnreadQuestions } from '../../src/dnsmasq/unread-questions.ts';
import { DnsmasqHealth } from '../../src/watcher/monitors/dnsmasq-health.ts';
import { network } from './builders.ts';

const health = suite('dnsmasq health');

/** Checks a dnsmasq once for each process and answer. Returns the processes that were ended. */
async function endedAfter(
  ...checks: readonly [pid: number | null, answer: DnsAnswer, hasUnread?: 'unread'][]
): Promise<number[]> {
  const ended: number[] = [];
  let now = checks[0];
  const subject = new DnsmasqHealth({
    find: () => now?.[0] ?? null,
    ask: async () => now?.[1] ?? 'closed',
    hasUnreadQuestions: () => now?.[2] === 'unread',
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

health('a dnsmasq that has never answered is ended if questions wait in its socket', async () => {
  assert.deepEqual(await endedAfter([7, 'silence', 'unread']), [7]);
  assert.deepEqual(await endedAfter([7, 'answer', 'unread'], [8, 'closed', 'unread']), []);
});

health('the questions that wait are those of the DNS socket of the gateway', () => {
  const row = (local: string, queues: string) =>
    `  sl  local_address rem_address   st tx_queue rx_queue\n  12: ${local} 00000000:0000 07 ${queues} 00:00000000 00000000     0        0 4021 2 0000000000000000 0\n`;
  const { gateway } = network();
  const hasUnread = (local: string, queues: string) => hasUnreadQuestions(row(local, queues), gateway, 'LE');
  assert.equal(hasUnread('0164A8C0:0035', '00000000:00000300'), true);
  assert.equal(hasUnread('0164A8C0:0035', '00000300:00000000'), false);
  assert.equal(hasUnread('0164A8C0:0043', '00000000:00000300'), false);
  assert.equal(hasUnread('017AA8C0:0035', '00000000:00000300'), false);
  assert.equal(hasUnreadQuestions(row('C0A86401:0035', '00000000:00000300'), gateway, 'BE'), true);
  assert.equal(hasUnreadQuestions('', gateway, 'LE'), false);
});

health('dnsmasq runs as its own user or as the configured one', () => {
  const passwd =
    'dnsmasq2:x:5:5::/:/bin/sh\ndnsmasq:x:112:6::/:/bin/false\nodd\nnobody:x:65534:6::/:\nlab:x:7:7::/:\n';
  const users = (conf: string) =>
    ['5', '112', '65534', '7', ''].filter(uid => isUserOfDnsmasq(uid, conf, passwd));
  assert.deepEqual(users('# user=lab\nuser=dnsmasq\n'), ['112']);
  assert.deepEqual(users('interface=br0\n user = lab \n'), ['112', '7']);
  assert.deepEqual(users('interface=br0\n'), ['112', '65534']);
  assert.deepEqual(users('user=missing\n'), ['112']);
});

health.run();
