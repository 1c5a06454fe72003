// harness-outside.test.mjs: tests enter.sh and init.sh from outside: nothing of a private host is left when it ends.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { suite } from 'uvu';

const enter = 'test/sandbox/enter.sh';
const outside = suite('outside');

/** Returns the namespaces of a process, by kind. */
function namespacesOf(pid) {
  return Object.fromEntries(
    ['mnt', 'net', 'pid', 'ipc', 'uts'].map(kind => [kind, readlinkSync(`/proc/${pid}/ns/${kind}`)]),
  );
}

/** Returns every namespace that contains a process. */
function namespacesInUse() {
  const inUse = new Set();
  for (const pid of readdirSync('/proc').filter(entry => /^\d+$/.test(entry))) {
    try {
      for (const namespace of Object.values(namespacesOf(pid))) inUse.add(namespace);
    } catch {
      // The process has ended, or belongs to the system outside this container.
    }
  }
  return inUse;
}

outside('the command has its standard input, its directory, its status, and a small environment', () => {
  const script = 'cat; pwd; env; exit 7';
  const env = { PATH: process.env.PATH, NODE_OPTIONS: '--no-warnings', NODE_EXTRA_CA_CERTS: '/nowhere' };
  const { status, stdout } = spawnSync(enter, ['sh', '-c', script], {
    env,
    input: 'hello\n',
    encoding: 'utf8',
  });
  assert.equal(status, 7);
  const [input, directory, ...variables] = stdout.trim().split('\n');
  assert.deepEqual([input, directory], ['hello', process.cwd()]);
  const names = variables.map(variable => variable.split('=')[0]).sort();
  assert.deepEqual(names, ['HOME', 'LC_ALL', 'PATH', 'PWD', 'TERM']);
});

outside('nothing is left of a private host that ended or was killed', async () => {
  const token = `trace-${process.pid}`;
  const paths = ['/etc', '/usr/sbin', '/var/lib', '/run', '/tmp', '/dev/shm'].map(
    parent => `${parent}/${token}`,
  );
  // With `setsid`, as daemons do: these processes end only with the PID namespace.
  const script = `
    touch ${paths.join(' ')} && rm /usr/bin/env && ip netns add ${token} && ip link add br0 type bridge || exit 1
    touch ${process.cwd()}/${token} 2> /dev/null && exit 1
    for kind in mnt net pid ipc uts; do readlink /proc/self/ns/$kind; done
    setsid sleep 987654321 > /dev/null 2>&1 &
    echo ready`;
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  for (const [ending, code, signal] of [
    ['exit 3', 3, null],
    ['sleep 987654321', null, 'SIGKILL'],
  ]) {
    const child = spawn(enter, ['sh', '-c', `${script}; ${ending}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    let output = '';
    for await (const chunk of child.stdout) {
      output += chunk;
      if (output.endsWith('ready\n')) child.kill(signal ?? 0);
    }
    assert.deepEqual(await closed, [code, signal]);
    const its = output.trim().split('\n').slice(0, -1);
    assert.equal(its.length, 5);
    const inUse = namespacesInUse();
    assert.deepEqual(
      its.filter(namespace => inUse.has(namespace)),
      [],
    );
    assert.deepEqual(paths.filter(existsSync), []);
    assert(existsSync('/usr/bin/env'));
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), mounts);
  }
});

outside('the checkout is there when it lies below a directory that is covered', async () => {
  for (const parent of ['/tmp', '/var/tmp', '/run', '/dev/shm']) {
    const checkout = mkdtempSync(`${parent}/checkout-`);
    try {
      await cp('test/sandbox', `${checkout}/test/sandbox`, { recursive: true });
      const inode = statSync(`${checkout}/test/sandbox/enter.sh`).ino;
      const run = spawnSync(enter, ['stat', '-c', '%i', enter], { cwd: checkout, encoding: 'utf8' });
      assert.equal(run.stdout.trim(), `${inode}`, run.stderr);
    } finally {
      rmSync(checkout, { recursive: true });
    }
  }
});

outside.run();
