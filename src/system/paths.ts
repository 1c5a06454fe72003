// Paths on the host: virlan's own, libvirt's, and where programs are looked for.

/** Where programs of the system are looked for, whatever PATH the caller has. */
export const systemPath = '/usr/sbin:/usr/bin:/sbin:/bin';

/** virlan's own files. docs/how-it-works.md has those that concern users. */
export const paths = {
  config: '/etc/virlan/virlan.ini',
  /** Holds one directory per network with dnsmasq options of the user's own. */
  dnsmasqExtras: '/etc/virlan/dnsmasq.d',
  sysctl: '/etc/sysctl.d/60-virlan.conf',
  ledger: '/var/lib/virlan/ledger.jsonl',
  /** What the host was like before virlan changed it. */
  before: '/var/lib/virlan/before.json',
  keptDefault: '/var/lib/virlan/default-network.json',
  log: '/var/log/virlan.log',
  /** What V8 made of the program's files: see start.ts. */
  codeCache: '/var/cache/virlan',
  run: '/run/virlan',
  /** The watcher's socket: hooks and the command line ask there. */
  socket: '/run/virlan/socket',
  /** Locks are taken in this order: that of the network, then that of the ledger. */
  networkLock: '/run/virlan/network.lock',
  ledgerLock: '/run/virlan/ledger.lock',
  /** Held while a probe is on a network: there is one at a time. */
  probeLock: '/run/virlan/probe.lock',
  machineId: '/etc/machine-id',
} as const;

/** libvirt's own files: virlan reads them in hooks, where libvirt must not be called. */
export const libvirtPaths = {
  domains: '/etc/libvirt/qemu',
  runningDomains: '/run/libvirt/qemu',
  networks: '/etc/libvirt/qemu/networks',
  networkAutostart: '/etc/libvirt/qemu/networks/autostart',
  activeNetworks: '/run/libvirt/network',
  leaseStatus: '/var/lib/libvirt/dnsmasq',
} as const;
