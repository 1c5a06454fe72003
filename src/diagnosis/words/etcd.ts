// The words for findings about the ledger that the hosts of a cluster share by etcd.
import { formatIp } from '../../address/ip.ts';
import { etcdRemedies } from '../../shared-ledger/etcd-text.ts';
import type { Place } from '../../shared-ledger/faults.ts';
import { shellQuoted } from '../../text.ts';
import type { EtcdDetails, EtcdMember } from '../etcd-details.ts';
import type { Fix } from '../finding.ts';
import { repairs, showsMore, type Words } from './row.ts';

export const etcdWords: Words<keyof EtcdDetails> = {
  'etcd-serves': {
    seen: ({ endpoint, writeMs }) => `${endpoint} reads, and answers a write within ${Math.ceil(writeMs)} ms`,
  },
  'etcd-slow': {
    seen: ({ endpoint, writeMs, limitMs }) =>
      `${endpoint} took ${seconds(writeMs)} for a write, more than ${seconds(limitMs)}: its disk, its host or the way to it is slow, and what other hosts do is seen late`,
    fix: showHealth,
  },
  'etcd-no-quorum': {
    seen: ({ endpoint }) =>
      `${endpoint} answers, and has no quorum: start the other members of etcd, or look at the way between them; ${meanwhile}`,
    fix: showHealth,
  },
  'etcd-unreachable': {
    seen: ({ message }) => `etcd is not reached: ${message}: ${etcdRemedies.unreachable}`,
    fix: showHealth,
  },
  'etcd-tls': {
    seen: ({ message }) =>
      `the certificate of etcd or of this host is refused: ${message}: ${etcdRemedies.tls}`,
    fix: showHealth,
  },
  'etcd-certificate-time': {
    seen: ({ message }) =>
      `a certificate has expired or is not valid yet: ${message}: renew it, or set the clock of this host`,
    fix: () => showsMore('timedatectl'),
  },
  'etcd-auth': {
    seen: ({ message }) => `etcd refuses this host's user: ${message}: ${etcdRemedies.auth}`,
    fix: showUser,
  },
  'etcd-file': {
    seen: ({ message }) => `etcd is not asked: ${message}: ${etcdRemedies.file}`,
    fix({ etcd: { ca, cert, key, user } }) {
      const files = [ca, cert, key, user?.passwordFile ?? null].flatMap(path => path ?? []);
      return showsMore(['ls', '-l', ...files.map(shellQuoted)].join(' '));
    },
  },
  'etcd-failed': {
    seen: ({ message }) => `etcd does not read or write: ${message}: ${meanwhile}`,
    fix: showHealth,
  },
  'etcd-not-read': { seen: () => 'no member of etcd could be read' },
  'clocks-agree': {
    seen: ({ limitMs }) => `no clock of etcd differs from that of this host by more than ${seconds(limitMs)}`,
  },
  'clock-of-member': {
    seen: ({ endpoint, aheadMs }) =>
      `the clock of ${endpoint} is ${difference(aheadMs)} that of this host: ${clockConsequences}`,
    fix: () => showsMore('timedatectl'),
  },
  'clock-of-host': {
    seen: ({ aheadMs }) =>
      `the clock of this host is ${difference(aheadMs)} that of each member of etcd: ${clockConsequences}`,
    fix: () => showsMore('timedatectl'),
  },
  'clocks-unknown': { seen: () => 'no member of etcd has sent its time' },
  'hosts-alive': {
    seen: ({ host }) => `the watchers of all hosts that have joined run; this one is ${formatIp(host)}`,
  },
  'host-twice': {
    seen: ({ host }) =>
      `another host has joined with ${formatIp(host)}, the address of [cluster], too: change it on one of them; until then this host does not share its ledger`,
    fix: () => showsMore('ip -brief address show'),
  },
  'host-not-joined': {
    seen: ({ host }) =>
      `this host, ${formatIp(host)}, has not joined, or its watcher does not run: other hosts do not know its new machines`,
    fix: () => repairs('systemctl restart virlan'),
  },
  'host-dead': {
    seen: ({ host, machines }) =>
      `the watcher of ${formatIp(host)} does not run, or is cut off from etcd; ${machinesText(machines)}: start the watcher there; remove the host only if it never comes back`,
    fix: ({ host }) => repairs(`virlan expel ${formatIp(host)}`),
  },
  'addresses-unique': { seen: () => 'no address and no block has two owners' },
  'address-of-another': {
    seen: ({ ip, machine, holder }) =>
      `${JSON.stringify(machine)} runs with ${formatIp(ip)}, which belongs to ${placeText(holder)}: shut it down: it gets another address at its next start`,
    fix: ({ machine }) => showsMore(`virlan doctor -- ${shellQuoted(machine)}`),
  },
  'address-twice': {
    seen: ({ ip, holders: [one, other] }) =>
      `${placeText(one)} and ${placeText(other)} have ${formatIp(ip)}: another program wrote to etcd: forget one of them on its host`,
    fix: ({ holders: [, { machine }] }) => repairs(`virlan forget -- ${shellQuoted(machine)}`),
  },
  'block-twice': {
    seen: ({ block, host }) =>
      `this host gives addresses from ${formatIp(block.first)} to ${formatIp(block.last)}, and so does ${formatIp(host)}: the watcher, once it is connected, leaves them to that host`,
    fix: () => repairs('systemctl restart virlan'),
  },
  'block-astray': {
    seen: ({ first, host }) =>
      `${formatIp(host)} gives addresses from ${formatIp(first)} on, where no block of this subnet begins: write the same subnet on all hosts`,
    fix: () => showsMore('virlan status'),
  },
};

/** The consequence where etcd does not serve. */
const meanwhile = 'machines still start';

const clockConsequences =
  'certificates may count as not valid, and times in logs and of leases cannot be compared; who has which address does not depend on clocks';

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

function difference(aheadMs: number): string {
  return `${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'}`;
}

function machinesText(machines: number): string {
  if (machines === 0) return 'no machine is its own';
  return `its ${machines === 1 ? 'machine remains' : `${machines} machines remain`} in the ledger`;
}

function placeText({ machine, host }: Place): string {
  return `${JSON.stringify(machine)} on ${formatIp(host)}`;
}

/** Shows the health of a member, its time for an answer, and why it is not reached. */
function showHealth({ endpoint, etcd: { ca, cert, key } }: EtcdMember): Fix {
  const files = [
    ['--cacert', ca],
    ['--cert', cert],
    ['--key', key],
  ].flatMap(([option = '', path]) => (path == null ? [] : [option, shellQuoted(path)]));
  const options = ['--silent', '--show-error', '--max-time', '10', ...files];
  return showsMore(
    ['curl', ...options, '--write-out', "' in %{time_total} s\\n'", shellQuoted(`${endpoint}/health`)].join(
      ' ',
    ),
  );
}

/** Shows the roles of a user. It asks for the password of root. */
function showUser({ endpoint, etcd: { ca, user } }: EtcdMember): Fix | null {
  if (user === null) return null;
  const files = ca === null ? [] : [`--cacert=${shellQuoted(ca)}`];
  return showsMore(
    [
      'etcdctl',
      `--endpoints=${shellQuoted(endpoint)}`,
      ...files,
      '--user=root',
      'user',
      'get',
      shellQuoted(user.name),
    ].join(' '),
  );
}
