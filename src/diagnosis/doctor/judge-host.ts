import { type Finding, failed, ok, skipped, unclear, warning } from '../finding.ts';
import { openHoles } from './dnsmasq-cves.ts';
import type { HostFacts } from './facts.ts';

/** What concerns all networks of the host. */
export function judgeHost(facts: HostFacts): Finding[] {
  return [judgeKernel(facts), judgeHooks(facts), judgeDnsmasqVersion(facts)];
}

function judgeKernel({ nftTrouble, tracked }: HostFacts): Finding {
  if (nftTrouble !== null)
    return unclear(
      'kernel',
      `nft does not work on this host: ${nftTrouble}`,
      'modprobe nf_tables && nft list tables',
    );
  if (tracked !== null && tracked.count >= tracked.most)
    return failed(
      'kernel',
      `the kernel tracks as many connections as it can, ${tracked.most}: new ones are dropped`,
      `sysctl -w net.netfilter.nf_conntrack_max=${tracked.most * 2}`,
    );
  return ok('kernel', 'has what the networks need');
}

function judgeHooks({ hooks }: HostFacts): Finding {
  if (hooks === null) return skipped('hooks', 'no libvirt here');
  const [wrong] = Object.entries(hooks).filter(([, state]) => state !== 'ours');
  if (wrong === undefined) return ok('hooks', 'libvirt calls virlan');
  const [driver, state] = wrong;
  return state === 'missing'
    ? failed(
        'hooks',
        `libvirt's hook ${driver} is missing: libvirt does not call virlan`,
        '/usr/lib/virlan/setup configure',
      )
    : failed(
        'hooks',
        `libvirt's hook ${driver} is not executable: libvirt does not call virlan`,
        `chmod 755 /etc/libvirt/hooks/${driver}`,
      );
}

function judgeDnsmasqVersion({ dnsmasq }: HostFacts): Finding {
  if (dnsmasq === null) return skipped('dnsmasq-version', 'no dnsmasq that tells its version');
  const open = openHoles(dnsmasq.version, dnsmasq.changelog ?? '');
  if (open.length === 0) return ok('dnsmasq-version', `${dnsmasq.version}, with no hole that is known here`);
  const known = `dnsmasq ${dnsmasq.version} is older than the mending of ${open.slice(0, 2).join(', ')}`;
  const more = open.length > 2 ? ` and ${open.length - 2} more` : '';
  const backport =
    dnsmasq.changelog === null
      ? 'whether its distribution mended it cannot be seen here'
      : "its package's changelog does not speak of it";
  return warning('dnsmasq-version', `${known}${more}; ${backport}: update it`);
}
