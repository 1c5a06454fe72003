// The choice of a firewall backend, and why it was made.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import type { Lacking } from '../../src/firewall/backend.ts';
import { availableBackends, chooseBackend, nextLacking } from '../../src/firewall/backends.ts';
import { trailText } from '../../src/report/trail-text.ts';
import { network } from './builders.ts';

const backends = suite('backends');

backends('a backend is available when all of its programs are installed', () => {
  const installed = (...programs: string[]) => availableBackends(program => programs.includes(program));
  assert.deepEqual(installed('nft', 'iptables-restore', 'iptables-save'), ['nftables', 'iptables']);
  assert.deepEqual(installed('nft', 'iptables-restore'), ['nftables']);
  assert.deepEqual(installed('iptables-restore', 'iptables-save'), ['iptables']);
  assert.deepEqual(installed(), []);
});

backends('the choice says why', () => {
  const both = ['nftables', 'iptables'] as const;
  const text = (
    wanted: string,
    available: readonly ('nftables' | 'iptables')[],
    lacking: readonly Lacking[] = [],
  ) => trailText(chooseBackend(network(`firewall = ${wanted}`), available, lacking));
  const installed = 'installed: nftables, iptables';
  assert.equal(text('auto', both), `firewall nftables: preferred where it is installed; ${installed}`);
  assert.equal(text('iptables', both), `firewall iptables: virlan.ini says so; ${installed}`);
  assert.equal(
    text('auto', ['iptables']),
    'firewall iptables: the only one that is installed; installed: iptables',
  );
  const refused = 'the kernel refused the rules of the other';
  assert.equal(text('auto', both, ['nftables']), `firewall iptables: ${refused}; ${installed}`);
  assert.equal(
    text('auto', both, ['nftables', 'iptables']),
    `firewall nftables: preferred where it is installed; ${installed}`,
  );
  assert.equal(text('nftables', both, ['nftables']), `firewall nftables: virlan.ini says so; ${installed}`);
  assert.throws(() => text('nftables', ['iptables']), { code: 'no-backend' });
});

backends('what a kernel may lack after it refused rules is tried in one order', () => {
  const failure = (reason: CommandError['reason'], exitCode: number | null = 1, stderr = '') =>
    new CommandError('no', { reason, exitCode, stderr });
  const both = ['nftables', 'iptables'] as const;
  const next = (
    firewall: string,
    known: readonly Lacking[],
    load: Partial<Parameters<typeof nextLacking>[3]>,
    available: readonly ('nftables' | 'iptables')[] = both,
  ) =>
    nextLacking(network(`firewall = ${firewall}`), available, known, {
      backend: 'nftables',
      family: 'ipv4',
      role: 'primary',
      error: failure('failed'),
      ...load,
    });
  /** Returns what is tried in turn, from `known` on, until nothing is left, or another backend. */
  const sequence = (firewall: string, known: readonly Lacking[], load: Parameters<typeof next>[2]) => {
    const tried: string[] = [];
    for (let lacks = next(firewall, known, load); lacks !== null; lacks = next(firewall, lacks, load)) {
      tried.push(lacks.join(' '));
      if (lacks.some(part => part === load.backend)) break;
    }
    return tried;
  };
  const nftables = { backend: 'nftables' } as const;
  const iptables = { backend: 'iptables' } as const;
  const single = ['connection-limit', 'clamp-mss', 'connection-limit clamp-mss'];
  assert.deepEqual(sequence('auto', [], nftables), [...single, 'nftables']);
  assert.deepEqual(sequence('nftables', [], nftables), single);
  assert.deepEqual(
    sequence('auto', ['guard'], nftables),
    [...single, 'nftables'].map(parts => `guard ${parts}`),
  );
  const ofIptables = [
    'checksum',
    'security',
    'clamp-mss',
    'checksum security',
    'checksum clamp-mss',
    'security clamp-mss',
    'checksum security clamp-mss',
  ];
  assert.deepEqual(sequence('auto', [], iptables), [...ofIptables, 'iptables']);
  assert.deepEqual(sequence('iptables', [], iptables), ofIptables);
  assert.deepEqual(
    sequence('auto', ['nftables'], iptables),
    ofIptables.map(parts => `nftables ${parts}`),
  );
  const ipv6 = { ...iptables, family: 'ipv6' } as const;
  assert.deepEqual(sequence('auto', [], ipv6), ['security']);
  assert.deepEqual(sequence('auto', ['checksum'], ipv6), ['checksum security']);
  assert.deepEqual(sequence('auto', [], { ...nftables, family: 'ipv6' }), []);
  const companion = { ...iptables, role: 'companion' } as const;
  assert.deepEqual(sequence('nftables', [], companion), ['checksum']);
  assert.deepEqual(sequence('auto', ['connection-limit'], companion), ['connection-limit checksum']);
  // The only backend.
  const all = ['connection-limit', 'clamp-mss'] as const;
  assert.equal(next('auto', all, {}, ['nftables']), null);
  // These say nothing about the kernel: a program without an answer, a lock that is taken, a shortage.
  for (const reason of ['timeout', 'missing', 'killed', 'not-started'] as const)
    assert.equal(next('auto', [], { error: failure(reason, null) }), null);
  assert.equal(next('auto', [], { ...iptables, error: failure('failed', 4) }), null);
  for (const stderr of [
    '/dev/stdin:1:1-3: Error: Could not process rule: Cannot allocate memory',
    'netlink: Error: cache initialization failed: Too many open files in system',
    '/dev/stdin:1:1-3: Error: Could not process rule: Device or resource busy',
    'Unable to initialize Netlink socket: No buffer space available',
    'iptables: Memory allocation problem.',
  ])
    assert.equal(next('auto', [], { error: failure('failed', 1, stderr) }), null);
  for (const stderr of ['Operation not supported', 'No such file or directory', 'Protocol error'])
    assert.deepEqual(next('auto', all, { error: failure('failed', 1, `Error: ${stderr}`) }), ['nftables']);
  assert.equal(next('auto', [], { error: new Error('no') }), null);
});

backends.run();
