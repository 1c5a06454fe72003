// datagram.test.ts: tests that a datagram that cannot be sent keeps nobody waiting.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import { sendDatagram } from '../../src/system/datagram.ts';

const datagrams = suite('datagrams');

datagrams('a datagram arrives', async () => {
  const receiver = createSocket('udp4').bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const arrived = once(receiver, 'message');
  await sendDatagram(Buffer.from('hello'), receiver.address().port, '127.0.0.1');
  assert.equal(String((await arrived)[0]), 'hello');
  receiver.close();
});

datagrams('without a free descriptor the call returns', async () => {
  const limit = ['--pid', String(process.pid)];
  const { stdout } = await execa('prlimit', [...limit, '--nofile', '--output=SOFT', '--noheadings']);
  await execa('prlimit', [...limit, '--nofile=256:']);
  const opened = openAll();
  const sent = await Promise.race([
    sendDatagram(Buffer.of(), 9, '127.0.0.1').then(() => true),
    pause(5000, false),
  ]);
  for (const descriptor of opened) closeSync(descriptor);
  await execa('prlimit', [...limit, `--nofile=${stdout.trim()}:`]);
  assert(opened.length > 0);
  assert.equal(sent, true);
});

/** Opens files until no descriptor is left. */
function openAll(): number[] {
  const opened: number[] = [];
  for (;;) {
    try {
      opened.push(openSync('/dev/null', 'r'));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EMFILE');
      return opened;
    }
  }
}

datagrams.run();
