// The paths of files: virlan's own, and those of libvirt that virlan reads or writes.

/** The directories in which programs of the system are searched for, whatever PATH the caller has. */
export const systemPath = '/usr/sbin:/usr/bin:/sbin:/bin';

/** virlan's own files, the same on every host. docs/how-it-works.md has those that concern users. */
export const paths = {
  config: '/etc/virlan/virlan.ini',
  /** Holds one directory per network, for dnsmasq options that the administrator adds. */
  dnsmasqExtras: '/etc/virlan/dnsmasq.d',
  sysctl: '/etc/sysctl.d/60-virlan.conf',
  /** The directory of the ledger, and beside it what is left of its first format: identity/ledger-files.ts. */
  ledger: '/var/lib/virlan/ledger',
  ledgerHeader: '/var/lib/virlan/ledger.jsonl',
  earlierLedger: '/var/lib/virlan/ledger-version-1.jsonl',
  /** A file for each network whose hosts share their ledgers: records/cluster-copy.ts. */
  clusterCopies: '/var/lib/virlan/cluster',
  /** The state of the host before virlan first changed it: network/records/original-state.ts. */
  originalState: '/var/lib/virlan/before.json',
  /** libvirt's network `default` before virlan removed it: libvirt-networks/saved-network.ts. */
  savedDefault: '/var/lib/virlan/default-network.json',
  log: '/var/log/virlan.log',
  /** Code that V8 compiled: bin/start.ts. */
  codeCache: '/var/cache/virlan',
  run: '/run/virlan',
  /**
   * The watcher's socket, for hooks and the command line. hooks/ and install/setup name it too: a test
   * compares.
   */
  socket: '/run/virlan/socket',
  /** Locks are taken in this order: that of libvirt's networks, of the network, then of the ledger. */
  libvirtNetworksLock: '/run/virlan/libvirt-networks.lock',
  networkLock: '/run/virlan/network.lock',
  ledgerLock: '/run/virlan/ledger.lock',
  /** A file for each tap that is guarded: guard/bindings.ts. */
  guard: '/run/virlan/guard',
  /** A file for each machine whose start, or running since then, may be its first: identity/started-nics.ts. */
  starts: '/run/virlan/starts',
  /** Held by the watcher for as long as it runs: there is one at a time. */
  watcherLock: '/run/virlan/watcher.lock',
  /** Held while a probe is on a network: there is one at a time. */
  probeLock: '/run/virlan/probe.lock',
  /** The ports that machines have, by network; it exists while there are any: forwards/record.ts. */
  forwards: '/run/virlan/forwards',
  /** Records the lines that virlan added to the configuration of bgpd: network/tunnel/bgp.ts. */
  bgp: '/run/virlan/bgp.json',
  machineId: '/etc/machine-id',
} as const;

/** Returns the path of the file about the start of a machine. */
export function startPath(uuid: string): string {
  return `${paths.starts}/${uuid}.json`;
}

/** libvirt's files. Hooks read them, because a hook must not call libvirt. */
export const libvirtPaths = {
  domains: '/etc/libvirt/qemu',
  runningDomains: '/run/libvirt/qemu',
  networks: '/etc/libvirt/qemu/networks',
  networkAutostart: '/etc/libvirt/qemu/networks/autostart',
  activeNetworks: '/run/libvirt/network',
  leaseStatus: '/var/lib/libvirt/dnsmasq',
} as const;
