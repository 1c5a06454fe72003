// harness-isolation.test.mjs: tests enter.sh and init.sh from outside: a private host leaves nothing behind.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';

const enter = 'test/sandbox/enter.sh';
const isolation = suite('isolation');

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

/**
 * Waits until no process is in these namespaces, and returns those that are in use at the deadline.
 *
 * Of a killed host, the processes are killed by the kernel after their parent, and no event announces
 * the end of the last one to a process outside their PID namespace.
 */
async function stillInUse(namespaces, timeoutMs) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const inUse = namespacesInUse();
    const left = namespaces.filter(namespace => inUse.has(namespace));
    if (left.length === 0 || Date.now() > deadline) return left;
    await setTimeout(10);
  }
}

isolation(
  'the command keeps its standard input, directory and exit status, and gets a small environment',
  () => {
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
  },
);

isolation('a private host that ended or was killed leaves nothing behind', async () => {
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
    const namespaces = output.trim().split('\n').slice(0, -1);
    assert.equal(namespaces.length, 5);
    assert.deepEqual(await stillInUse(namespaces, 5000), []);
    assert.deepEqual(paths.filter(existsSync), []);
    assert(existsSync('/usr/bin/env'));
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), mounts);
  }
});

isolation('the checkout is reachable when another mount covers its parent directory', async () => {
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

isolation.run();
