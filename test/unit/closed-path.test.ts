// closed-path.test.ts: tests which directory or file keeps a process from a file.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { findClosed, type Permissions, parseCredentials } from '../../src/diagnosis/doctor/closed-path.ts';

const closedPath = suite('closed path');

const dnsmasq = { uid: 106, gids: [30, 65534] };

function directory(path: string, mode: number, uid = 0, gid = 0): Permissions {
  return { path, isDirectory: true, uid, gid, mode };
}

function file(mode: number, uid = 0, gid = 0): Permissions {
  return { path: '/data/hostsfile', isDirectory: false, uid, gid, mode };
}

closedPath("a process's user and groups are those that the kernel checks", () => {
  const status = 'Name:\tdnsmasq\nUid:\t0\t106\t0\t106\nGid:\t0\t30\t0\t30\nGroups:\t30 65534 \n';
  assert.deepEqual(parseCredentials(status), { uid: 106, gids: [30, 30, 65534] });
  const ungrouped = 'Uid:\t1\t1\t1\t1\nGid:\t2\t2\t2\t2\nGroups:\t \n';
  assert.deepEqual(parseCredentials(ungrouped), { uid: 1, gids: [2] });
  assert.equal(parseCredentials(''), null);
});

const ways: readonly (readonly [what: string, way: readonly Permissions[], closed: string | null])[] = [
  ['open to all', [directory('/', 0o755), directory('/data', 0o711), file(0o644)], null],
  ['a directory closed to others', [directory('/', 0o755), directory('/data', 0o750), file(0o644)], '/data'],
  ['a directory that can be listed only', [directory('/data', 0o754), file(0o644)], '/data'],
  ['a file closed to others', [directory('/data', 0o755), file(0o640)], '/data/hostsfile'],
  ['of its group', [directory('/data', 0o710, 0, 65534), file(0o040, 0, 30)], null],
  ['of its group, which has less than others', [directory('/data', 0o705, 0, 30), file(0o644)], '/data'],
  ['of its own', [directory('/data', 0o100, 106), file(0o400, 106)], null],
  ['of its own, and open only to others', [file(0o044, 106)], '/data/hostsfile'],
];
for (const [what, way, closed] of ways)
  closedPath(`a way to a file: ${what}`, () => {
    assert.equal(findClosed(way, dnsmasq)?.path ?? null, closed);
    assert.equal(findClosed(way, { uid: 0, gids: [0] }), null);
  });

closedPath.run();
