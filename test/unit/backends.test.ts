// The choice of a firewall backend, and why it was made.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { availableBackends, chooseBackend } from '../../src/firewall/backends.ts';
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
  const text = (wanted: string, available: readonly ('nftables' | 'iptables')[]) =>
    trailText(chooseBackend(network(`firewall = ${wanted}`), available));
  const installed = 'installed: nftables, iptables';
  assert.equal(text('auto', both), `firewall nftables: preferred where it is installed; ${installed}`);
  assert.equal(text('iptables', both), `firewall iptables: virlan.ini says so; ${installed}`);
  assert.equal(
    text('auto', ['iptables']),
    'firewall iptables: the only one that is installed; installed: iptables',
  );
  assert.throws(() => text('nftables', ['iptables']), { code: 'no-backend' });
});

backends.run();
