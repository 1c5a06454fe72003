// IPsec policies of the kernel that take packets of a probe.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { findTakings } from '../../src/diagnosis/probe/takings.ts';
import { probedPath as path } from './builders.ts';

const policies = suite('IPsec policies');

const tunnel = String.raw`\	tmpl src 203.0.113.1 dst 198.51.100.1\		proto esp reqid 1 mode tunnel`;

/** Returns the packets that are taken, as `returning: out encrypts 7`. */
function taken(...lines: readonly string[]): string[] {
  return Object.entries(findTakings(lines.join('\n'), path)).flatMap(([kind, policy]) =>
    policy == null ? [] : [`${kind}: ${policy.direction} ${policy.effect} ${policy.priority}`],
  );
}

policies('a policy takes the packets between its addresses in its direction', () => {
  const block = (addresses: string, direction: string) =>
    String.raw`${addresses} \	dir ${direction} action block priority 7 ptype main \ `.trim();
  const toMachines = 'src 0.0.0.0/0 dst 192.168.100.0/24';
  const fromMachines = 'src 192.168.100.0/24 dst 0.0.0.0/0';
  assert.deepEqual(taken(block(toMachines, 'out')), ['dns: out drops 7', 'returning: out drops 7']);
  assert.deepEqual(taken(block(toMachines, 'fwd')), []);
  // The gateway's address is one of the subnet.
  assert.deepEqual(taken(block(toMachines, 'in')), ['dns: in drops 7']);
  assert.deepEqual(taken(block(fromMachines, 'fwd')), ['outgoing: fwd drops 7']);
  assert.deepEqual(taken(block(fromMachines, 'in')), ['dns: in drops 7']);
  assert.deepEqual(taken(block('src 10.0.0.0/8 dst 10.0.0.0/8', 'fwd')), []);
  assert.deepEqual(taken(block('src ::/0 dst ::/0', 'fwd')), []);
});

policies('a policy with a tunnel takes packets, unless the tunnel is optional', () => {
  const selector = String.raw`src 192.168.100.0/24 dst 0.0.0.0/0 \	dir fwd priority 7 ptype main `;
  assert.deepEqual(taken(`${selector}${tunnel}`), ['outgoing: fwd encrypts 7']);
  assert.deepEqual(taken(`${selector}${tunnel}${String.raw`\		level use `}`), []);
  assert.deepEqual(taken(selector), []);
});

policies('the policy with the lowest number decides', () => {
  const block = String.raw`src 0.0.0.0/0 dst 0.0.0.0/0 \	dir fwd action block priority 8 ptype main `;
  const pass = (priority: number) =>
    String.raw`src 192.168.0.0/16 dst 0.0.0.0/0 \	dir fwd priority ${priority} ptype main `;
  assert.deepEqual(taken(block, pass(7)), []);
  assert.deepEqual(taken(block, pass(9)), ['outgoing: fwd drops 8']);
});

policies('policies for some packets only, of sockets, and lines that cannot be read take nothing', () => {
  const block = String.raw`\	dir fwd action block priority 8 ptype main `;
  for (const line of [
    `src 0.0.0.0/0 dst 0.0.0.0/0 proto tcp dport 80 ${block}`,
    `src 0.0.0.0/0 dst 0.0.0.0/0 dev eth7 ${block}`,
    String.raw`src 0.0.0.0/0 dst 0.0.0.0/0 ${block}\	mark 0x1/0xff `,
    String.raw`src 0.0.0.0/0 dst 0.0.0.0/0 ${block}\	if_id 0x4`,
    String.raw`src 0.0.0.0/0 dst 0.0.0.0/0 \	socket in action block priority 0 ptype main `,
    'Cannot send dump request: Operation not supported',
    '',
  ])
    assert.deepEqual(taken(line), [], line);
});

policies.run();
