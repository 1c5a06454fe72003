// files.test.ts: tests which files are read, and how files are replaced.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { WriteError } from '../../src/errors.ts';
import { hasVanished } from '../../src/system/file-errors.ts';
import {
  changeMode,
  modeOrNull,
  readFileOrNull,
  readOwnFileOrNull,
  removeDeadTemporaries,
  removeFile,
  stageFile,
  writeAtomically,
  writeTogether,
} from '../../src/system/files.ts';
import { system } from '../../src/system/system.ts';

const files = suite('files');

let directory = '';
files.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'virlan-files-'));
});
files.after.each(() => rmSync(directory, { recursive: true }));

function at(name: string): string {
  return join(directory, name);
}

function damaged(message: RegExp) {
  return (error: { code?: string; message?: string }) =>
    error.code === 'damaged-file' && message.test(error.message ?? '');
}

files('what is not a regular file is refused at once, and never waited for', () => {
  execFileSync('mkfifo', [at('fifo')]);
  mkdirSync(at('directory'));
  for (const [path, message] of [
    [at('fifo'), /is a FIFO, not a regular file: remove it$/],
    [at('directory'), /is a directory, not/],
    ['/dev/zero', /^\/dev\/zero is a device, not/],
  ] as const) {
    assert.throws(() => readFileOrNull(path), damaged(message));
    assert.throws(() => readOwnFileOrNull(path), damaged(message));
  }
});

files("symbolic links are followed, but not in virlan's own directories", () => {
  writeFileSync(at('target'), 'secret');
  symlinkSync('target', at('link'));
  assert.equal(readFileOrNull(at('link')), 'secret');
  assert.throws(() => readOwnFileOrNull(at('link')), damaged(/is a symbolic link, not a regular file/));
  assert.equal(readOwnFileOrNull(at('target')), 'secret');
  assert.equal(readOwnFileOrNull(at('missing')), null);
});

files('files of the kernel, which have no size, are read to their end', () => {
  assert.match(readFileOrNull('/proc/self/status') ?? '', /^Name:/);
  assert.match(readFileOrNull('/proc/sys/kernel/ostype') ?? '', /Linux/);
});

files('a file larger than the limit is refused unread', () => {
  writeFileSync(at('leases'), '');
  truncateSync(at('leases'), 2 ** 40);
  assert.throws(
    () => readOwnFileOrNull(at('leases'), 10),
    damaged(/has 1099511627776 bytes, and more than 10 /),
  );
});

files('modes are those of the file itself, never of what a link names', () => {
  writeFileSync(at('target'), '');
  chmodSync(at('target'), 0o600);
  symlinkSync('target', at('link'));
  assert.equal(modeOrNull(at('link')), null);
  assert.throws(() => changeMode(at('link'), 0o644));
  assert.equal(modeOrNull(at('target')), 0o600);
  changeMode(at('target'), 0o644);
  assert.equal(modeOrNull(at('target')), 0o644);
});

files('a staged file changes nothing before it is committed', () => {
  writeAtomically(at('conf'), 'old');
  const staged = stageFile(at('conf'), 'new');
  assert.equal(readFileSync(at('conf'), 'utf8'), 'old');
  staged.commit();
  assert.equal(readFileSync(at('conf'), 'utf8'), 'new');
  stageFile(at('conf'), 'newer').discard();
  assert.equal(readFileSync(at('conf'), 'utf8'), 'new');
  assert.deepEqual(readdirSync(directory), ['conf']);
});

files('files that are replaced together are all replaced, or none where one cannot be stored', () => {
  const texts = (content: string) => ['a', 'b', 'c'].map(name => ({ path: at(name), content }));
  writeTogether(texts('old'), 0o600);
  writeTogether(texts('new'), 0o600);
  const read = () => ['a', 'b', 'c'].map(name => readFileSync(at(name), 'utf8'));
  assert.deepEqual(read(), ['new', 'new', 'new']);
  assert.equal(modeOrNull(at('c')), 0o600);
  const unusable = { path: join(at('missing'), 'd'), content: 'newer' };
  assert.throws(() => writeTogether([...texts('newer'), unusable], 0o600), WriteError);
  assert.deepEqual(read(), ['new', 'new', 'new']);
  // Those before it are replaced, and nothing is left of those after it.
  rmSync(at('b'));
  mkdirSync(at('b'));
  assert.throws(() => writeTogether(texts('newest'), 0o600), WriteError);
  assert.equal(readFileSync(at('a'), 'utf8'), 'newest');
  assert.deepEqual(readdirSync(directory), ['a', 'b', 'c']);
});

files('an error of the disk says where to look, and any other does not', () => {
  const causes = ['EIO', 'EROFS', 'EISDIR'].map(code =>
    Object.assign(new Error(`${code}: reason`), { code }),
  );
  const messages = causes.map(cause => new WriteError('/x', cause).message);
  assert.deepEqual(messages, [
    '/x cannot be written: EIO: reason: see "dmesg"',
    '/x cannot be written: EROFS: reason: see "dmesg"',
    '/x cannot be written: EISDIR: reason',
  ]);
});

files('the file of a link that is gone, and of a process that has ended, counts as missing', () => {
  const errorOf = (code: string, syscall: string) => Object.assign(new Error(code), { code, syscall });
  // The kernel reports these where the object goes between open(2) and read(2).
  for (const code of ['EINVAL', 'ENODEV', 'ESRCH']) assert(hasVanished(errorOf(code, 'read')), code);
  assert(!hasVanished(errorOf('EIO', 'read')));
  assert(!hasVanished(errorOf('EINVAL', 'open')));
  // A link without a carrier has no speed: the kernel reports what it reports for a link that is gone.
  assert.equal(readFileOrNull('/sys/class/net/lo/speed'), null);
});

files('a write that fails names the file, and leaves nothing behind', () => {
  mkdirSync(at('conf'));
  assert.throws(
    () => writeAtomically(at('conf'), 'text'),
    (error: { code?: string; message?: string }) =>
      error.code === 'write-failed' && (error.message ?? '').startsWith(`${at('conf')} cannot be written: `),
  );
  assert.deepEqual(readdirSync(directory), ['conf']);
});

files('a file that cannot be removed is named, also by code that gets the system as a value', () => {
  mkdirSync(at('directory'));
  for (const remove of [removeFile, system.removeFile])
    assert.throws(
      () => remove(at('directory')),
      (error: Error) => error instanceof WriteError && error.path === at('directory'),
    );
  removeFile(at('missing'));
});

files('temporary files of processes that ended are removed, those of running ones are kept', () => {
  const running = at(`ledger.jsonl.${process.pid}.tmp`);
  // Above the kernel's limit of process numbers (PID_MAX_LIMIT in include/linux/threads.h).
  for (const path of [running, at('ledger.jsonl.4194305.tmp'), at('mine.tmp'), at('a.4194305.tmp.bak')])
    writeFileSync(path, '');
  removeDeadTemporaries(directory);
  assert.deepEqual(readdirSync(directory).sort(), [
    'a.4194305.tmp.bak',
    `ledger.jsonl.${process.pid}.tmp`,
    'mine.tmp',
  ]);
  assert(existsSync(running));
  removeDeadTemporaries(at('missing'));
});

files.run();
