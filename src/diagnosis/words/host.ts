// The words for findings about the configuration and the host.
import { kernelReplacedText } from '../../network/kernel/kernel-text.ts';
import type { HostDetails } from '../details.ts';
import { repairs, showsMore, type Words } from './row.ts';

/** The number of CVEs that a sentence names. */
const maxNamedCves = 2;

export const hostWords: Words<keyof HostDetails> = {
  'config-unreadable': { seen: ({ message }) => message },
  'fix-failed': { seen: ({ message }) => message },
  'kernel-ready': { seen: () => 'has what the networks need' },
  'kernel-replaced': { seen: ({ release }) => kernelReplacedText(release), fix: () => repairs('reboot') },
  'nft-fails': {
    seen: ({ message }) => `nft does not work on this host: ${message}`,
    fix: () => showsMore('modprobe nf_tables && nft list tables'),
  },
  'conntrack-full': {
    seen: ({ max }) => `the kernel tracks as many connections as it can, ${max}: new ones are dropped`,
    fix: ({ max }) => repairs(`sysctl -w net.netfilter.nf_conntrack_max=${max * 2}`),
  },
  'inotify-exhausted': {
    seen: ({ sysctl, max }) =>
      `${sysctl} = ${max} is used up: dnsmasq cannot start, and virlan notices changed files late`,
    fix: ({ sysctl, max }) => repairs(`sysctl -w ${sysctl}=${max * 2}`),
  },
  'libvirt-absent': { seen: () => 'libvirt is not on this host' },
  'hooks-installed': { seen: () => 'libvirt calls virlan' },
  'hook-missing': {
    seen: ({ driver }) => `libvirt's hook ${driver} is missing: libvirt does not call virlan`,
    fix: () => repairs('/usr/lib/virlan/setup configure'),
  },
  'hook-not-executable': {
    seen: ({ driver }) => `libvirt's hook ${driver} is not executable: libvirt does not call virlan`,
    fix: ({ path }) => repairs(`chmod 755 ${path}`),
  },
  'dnsmasq-version-unknown': { seen: () => 'dnsmasq is not installed, or does not tell its version' },
  'dnsmasq-patched': { seen: ({ version }) => `${version}, without a vulnerability that is known here` },
  'dnsmasq-unpatched': {
    seen: ({ version, cves, hasChangelog }) => {
      const more = cves.length > maxNamedCves ? ` and ${cves.length - maxNamedCves} more` : '';
      const backport = hasChangelog
        ? "its package's changelog does not mention them"
        : 'whether its distribution fixed them cannot be seen here';
      const named = cves.slice(0, maxNamedCves).join(', ');
      return `dnsmasq ${version} is older than the fixes for ${named}${more}; ${backport}: update it`;
    },
  },
};
