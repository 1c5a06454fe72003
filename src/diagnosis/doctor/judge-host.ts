// Findings about the host.
import { type Finding, fail, ok, skipped, warn } from '../finding.ts';
import { unpatchedCves } from './dnsmasq-cves.ts';
import type { DoctorHostFacts } from './facts.ts';

/** Judges what concerns all networks of the host. */
export function judgeHost(facts: DoctorHostFacts): Finding[] {
  return [judgeKernel(facts), judgeHooks(facts), judgeDnsmasqVersion(facts)];
}

function judgeKernel(facts: DoctorHostFacts): Finding {
  const { nftError, isNftNeeded, replacedKernel, conntrack, inotifyLimit } = facts;
  if (replacedKernel !== null) return fail('kernel', { kind: 'kernel-replaced', release: replacedKernel });
  if (inotifyLimit !== null) return fail('kernel', { kind: 'inotify-exhausted', ...inotifyLimit });
  if (nftError !== null && isNftNeeded) return fail('kernel', { kind: 'nft-fails', message: nftError });
  if (conntrack !== null && conntrack.count >= conntrack.max)
    return fail('kernel', { kind: 'conntrack-full', max: conntrack.max });
  return nftError === null
    ? ok('kernel', { kind: 'kernel-ready' })
    : warn('kernel', { kind: 'nft-fails', message: nftError });
}

function judgeHooks({ hooks }: DoctorHostFacts): Finding {
  if (hooks === null) return skipped('hooks', { kind: 'libvirt-absent' });
  for (const [driver, state] of Object.entries(hooks)) {
    switch (state.kind) {
      case 'installed':
        continue;
      case 'missing':
        return fail('hooks', { kind: 'hook-missing', driver });
      case 'not-executable':
        return fail('hooks', { kind: 'hook-not-executable', driver, path: state.path });
    }
  }
  return ok('hooks', { kind: 'hooks-installed' });
}

function judgeDnsmasqVersion({ dnsmasq }: DoctorHostFacts): Finding {
  const check = 'dnsmasq-version';
  if (dnsmasq === null) return skipped(check, { kind: 'dnsmasq-version-unknown' });
  const { version, changelog } = dnsmasq;
  const cves = unpatchedCves(version, changelog ?? '');
  return cves.length === 0
    ? ok(check, { kind: 'dnsmasq-patched', version })
    : warn(check, { kind: 'dnsmasq-unpatched', version, cves, hasChangelog: changelog !== null });
}
