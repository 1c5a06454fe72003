// shell-files.test.ts: tests that the shell scripts name the same files and routes as the program.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { suite } from 'uvu';
import { reservationMark } from '../../src/dnsmasq/hostsfile.ts';
import { dnsmasqPaths, dnsmasqRoot } from '../../src/dnsmasq/paths.ts';
import { findHook, hookNames } from '../../src/libvirt/hook-names.ts';
import { paths } from '../../src/system/paths.ts';
import { createRoutes, type HookHandlers } from '../../src/watcher/socket/routes.ts';

const shell = suite('shell files');

const files = [
  'hooks/ask.sh',
  'hooks/daemon',
  'hooks/network',
  'hooks/qemu',
  'install/setup',
  'install/purge.sh',
];

function read(path: string): string {
  return readFileSync(path, 'utf8');
}

shell('name only files and directories of virlan that the program has', () => {
  const known = new Set(Object.values(paths).flatMap(path => [path, dirname(path)]));
  for (const file of files) {
    const named = read(file).match(/\/(?:run|etc|var\/(?:lib|log|cache))\/virlan[\w./-]*/g) ?? [];
    for (const path of named) assert(known.has(path), `${file} names ${path}`);
  }
});

shell('the hooks and the installer look for the socket of the watcher', () => {
  for (const file of ['hooks/ask.sh', 'hooks/qemu', 'install/setup'])
    assert(read(file).includes(paths.socket), file);
});

shell('the hooks post to routes of the watcher', () => {
  const missing = () => assert.fail('not called');
  const routes = createRoutes({
    startHookTimer: missing,
    report: missing,
    hooks: Object.fromEntries(hookNames.map(name => [name, missing])) as unknown as HookHandlers,
    reconcileMachine: missing,
    status: missing,
    follow: missing,
    metrics: missing,
  });
  const posted = files.flatMap(file => read(file).match(/(?<=\bask )\/hook\/[\w/-]+/g) ?? []);
  assert.deepEqual(
    posted.map(path => `POST ${path}`).sort(),
    [...routes.keys()].filter(route => route.includes('/hook/')).sort(),
  );
});

shell('the hooks have work for the operations that virlan handles, and for no other', () => {
  const called = ['daemon', 'network', 'qemu'].flatMap(driver => {
    const [, operations = ''] = /^ {2}([a-z| -]+)\) ;;$/m.exec(read(`hooks/${driver}`)) ?? [];
    return operations.split(' | ').map(operation => findHook(driver, operation));
  });
  assert.deepEqual(new Set(called), new Set(hookNames));
  for (const [driver, operation] of [
    ['qemu', 'reconnect'],
    ['network', 'start'],
    ['network', 'reload'],
    ['daemon', 'shutdown'],
    ['lxc', 'prepare'],
    ['', ''],
  ] as const)
    assert.equal(findHook(driver, operation), null);
});

shell('a purge deletes the data of virlan and its lines in hostsfiles', () => {
  const purge = read('install/purge.sh');
  for (const directories of [paths.run, `${dirname(paths.ledger)} ${paths.codeCache}`])
    assert(purge.includes(`  rm -rf ${directories}\n`));
  assert(purge.includes(`rm -f ${paths.log}\n`));
  assert(purge.includes(`in ${dnsmasqRoot}/*/;`));
  assert(purge.includes(`rm -f "\${directory}${basename(dnsmasqPaths('br0').names)}"\n`));
  assert(purge.includes(`sed -i '/${reservationMark}$/d'`));
});

shell.run();
