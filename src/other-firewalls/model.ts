/** The programs in whose places virlan puts what its machines need; any other firewall is a stranger. */
export const firewalls = ['docker', 'ufw', 'firewalld'] as const;

export type Firewall = (typeof firewalls)[number];

/**
 * What is in each program's place, a line a thing, in words that tell it apart: a rule of iptables for Docker, a tuple
 * of its rules file for ufw, a zone for firewalld.
 */
export type ForeignRules = Readonly<Record<Firewall, readonly string[]>>;

export const noForeignRules: ForeignRules = { docker: [], ufw: [], firewalld: [] };

/** A chain that the kernel has, whoever made it. */
export interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  /** The kernel's hook, and what becomes of a packet that no rule speaks of; null for a chain that is only jumped to. */
  readonly hook: string | null;
  readonly policy: string | null;
}

/** What was read of the other firewalls on a host, with regard to one bridge. Nothing in it can be trusted. */
export interface ForeignFirewalls {
  readonly chains: readonly Chain[];
  /** What `iptables-save` lists; nothing where no chain says that it is worth a look. */
  readonly iptables: readonly string[];
  /** Whether Docker runs, or has run. */
  readonly docker: boolean;
  /** Null where ufw never was. */
  readonly ufw: {
    /** Whether its program is there and it is switched on. */
    readonly enabled: boolean;
    /** Its file user.rules. */
    readonly rules: string;
  } | null;
  /** Null where firewalld never was. */
  readonly firewalld: {
    /** The file of the bridge's own zone. */
    readonly zoneFile: string | null;
    /** Another zone that somebody gave the bridge to in firewalld's configuration. */
    readonly claimedBy: string | null;
    /** The zone that the bridge is in by now, '' for none; null when firewalld does not run, or does not say. */
    readonly zone: string | null;
  } | null;
  /** What could not be read and is passed over, a line each. */
  readonly unread: readonly string[];
}

/** The mark of what people put into strangers' places by the command that virlan proposes. */
export function proposedMarkOf(bridge: string): string {
  return `${markOf(bridge)}-by-hand`;
}

/** The mark of all that virlan puts into somebody else's place. */
export function markOf(bridge: string): string {
  return `virlan-${bridge}`;
}

/** Which of the known programs have, or had, a hand in this host's packets: their rules may outlive them. */
export function firewallsHere(found: ForeignFirewalls): Firewall[] {
  const isHere: Record<Firewall, boolean> = {
    docker: found.docker || found.chains.some(isDockerUser),
    ufw: found.ufw?.enabled === true,
    firewalld: found.chains.some(isFirewalld),
  };
  return firewalls.filter(firewall => isHere[firewall]);
}

export function isDockerUser({ family, table, name }: Chain): boolean {
  return family === 'ip' && table === 'filter' && name === 'DOCKER-USER';
}

/** Whether it is a chain of ufw's that leads to all its rules for the host, or for what is forwarded. */
export function isUfwPlace({ family, table, name }: Chain): boolean {
  return family === 'ip' && table === 'filter' && /^ufw-before-(forward|input)$/.test(name);
}

/** Of its backend nftables, or of iptables (firewalld's core/ipXtables.py). */
export function isFirewalld({ family, table, name }: Chain): boolean {
  return table === 'firewalld' || (family === 'ip' && table === 'filter' && name === 'INPUT_ZONES');
}

/** Whether it is one of the chains that each table `filter` of iptables begins with. */
export function isIptablesBuiltin({ family, table, name }: Chain): boolean {
  return family === 'ip' && table === 'filter' && ['INPUT', 'FORWARD', 'OUTPUT'].includes(name);
}

/** Whether a packet that no rule of it accepts ends in this chain, on its way to the host or through it. */
export function dropsByPolicy({ family, hook, policy }: Chain): boolean {
  const isOnTheWay = hook === 'forward' || hook === 'input';
  return ['ip', 'inet', 'bridge'].includes(family) && isOnTheWay && policy === 'drop';
}
