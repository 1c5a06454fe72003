// The model of other programs' firewalls: chains of the kernel, the readings of each program, and the rules
// that virlan adds to them. All readings were written by others and are hostile.

/** Programs whose rules virlan extends. A firewall of any other program is only reported. */
export const otherFirewallNames = ['docker', 'ufw', 'firewalld'] as const;

export type OtherFirewallName = (typeof otherFirewallNames)[number];

/** A chain in the kernel. */
export interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  /** The kernel's hook; null for a chain that is only jumped to. */
  readonly hook: string | null;
  /** Verdict for a packet that no rule decides; null for a chain without a hook. */
  readonly policy: string | null;
}

export interface DockerSeen {
  /** True if Docker runs, or has run since the host booted. */
  readonly hasRun: boolean;
}

/** Null where ufw was never installed. */
export type UfwSeen = {
  /** True if its program is installed and it is switched on. */
  readonly enabled: boolean;
  /** Text of its file user.rules. */
  readonly rules: string;
} | null;

/** Null where firewalld was never installed. */
export type FirewalldSeen = {
  /** Text of the file of the bridge's own zone; null when it does not exist. */
  readonly zoneFile: string | null;
  /** Another zone that the administrator gave the bridge to. */
  readonly claimedBy: string | null;
  /**
   * The zone that the bridge is in at present, '' for none; null when firewalld does not run or does not
   * answer.
   */
  readonly zone: string | null;
} | null;

/** A part of the reading that failed and was left out. */
export interface Unread {
  readonly subject: 'chains' | 'iptables' | OtherFirewallName;
  readonly error: Error;
}

/** Describes what could not be read of another firewall. */
export function unreadText({ subject, error }: Unread): string {
  return `${unreadSubjects[subject]}: ${error.message}`;
}

const unreadSubjects: Readonly<Record<Unread['subject'], string>> = {
  chains: 'other firewalls cannot be seen',
  iptables: 'rules of iptables cannot be seen',
  docker: 'Docker is left out, its state cannot be read',
  ufw: 'ufw is left out, its state cannot be read',
  firewalld: 'firewalld is left out, it does not say which zone the bridge is in',
};

/** Everything read of other firewalls, with regard to one bridge. */
export interface OtherFirewallsReading {
  readonly chains: readonly Chain[];
  /** Table `filter` of `iptables-save`; empty where no program asked for it. */
  readonly iptables: readonly string[];
  /** By table: the lines of `iptables-legacy-save`; empty where `iptables` shows the same. */
  readonly legacy: ReadonlyMap<string, readonly string[]>;
  readonly docker: DockerSeen;
  readonly ufw: UfwSeen;
  readonly firewalld: FirewalldSeen;
  readonly unread: readonly Unread[];
}

/** The types of virlan's rules in each program's firewall. */
export interface OtherFirewallRules {
  /** A rule as `iptables-save` writes it. */
  readonly docker: { readonly kind: 'iptables-rule'; readonly rule: string };
  readonly ufw:
    | { readonly kind: 'iptables-rule'; readonly rule: string }
    /** A tuple of its file user.rules, as `allow udp 53 0.0.0.0/0 any 0.0.0.0/0 in_k8s-br0`. */
    | { readonly kind: 'tuple'; readonly tuple: string }
    /** `ufw reload`: the kernel does not have what ufw's files say. */
    | { readonly kind: 'reload' };
  readonly firewalld: /** Membership of the bridge in a zone until firewalld reloads or restarts. */
    | { readonly kind: 'runtime-zone'; readonly zone: string }
    /** The file of a zone. `changed`: its text is not the one that virlan writes. */
    | { readonly kind: 'zone-file'; readonly zone: string; readonly changed: boolean };
}

export type RuleOf<Name extends OtherFirewallName> = OtherFirewallRules[Name];

/** Rules by program. */
export type RulesByFirewall = { readonly [Name in OtherFirewallName]: readonly RuleOf<Name>[] };

export const noOtherRules: RulesByFirewall = { docker: [], ufw: [], firewalld: [] };

/** Returns the mark of all rules that virlan adds to another program's firewall. */
export function markOf(bridge: string): string {
  return `virlan-${bridge}`;
}

/** Returns the mark of the rules in the command that virlan proposes for chains of unknown programs. */
export function proposedMarkOf(bridge: string): string {
  return `${markOf(bridge)}-by-hand`;
}

/** Returns whether a chain is built into table `filter` of iptables. */
export function isIptablesBuiltin({ family, table, name }: Chain): boolean {
  return family === 'ip' && table === 'filter' && ['INPUT', 'FORWARD', 'OUTPUT'].includes(name);
}

/** A zone that every firewalld has and that accepts everything (zones/trusted.xml). */
export const trustedZone = 'trusted';

/** The table of firewalld's backend for nftables (core/nftables.py). */
export const firewalldTable = 'firewalld';

/** The family of chains that only `iptables-legacy` shows. */
export const legacyFamily = 'iptables-legacy';

/** Returns the program of iptables that changes a chain built into one of its tables; null for another chain. */
export function iptablesProgramOf({ family, table, name, hook }: Chain): string | null {
  const isTable = ['filter', 'mangle', 'raw', 'security', 'nat'].includes(table);
  if (!isTable || name !== hook?.toUpperCase()) return null;
  return family === 'ip' ? 'iptables' : family === legacyFamily ? legacyFamily : null;
}

/** The kernel's hooks on the way of machines' packets, and of those that the host sends to them. */
export const hooksOnTheWay = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;

export type HookOnTheWay = (typeof hooksOnTheWay)[number];

/** Returns the hook of a chain that packets of machines may meet; null for another. */
export function hookOnTheWay({ family, hook }: Chain): HookOnTheWay | null {
  if (!['ip', 'inet', 'bridge', legacyFamily].includes(family)) return null;
  return hooksOnTheWay.find(each => each === hook) ?? null;
}

/** Returns whether a chain drops by policy packets of machines, or of the host to them. */
export function dropsByPolicy(chain: Chain): boolean {
  return chain.policy === 'drop' && hookOnTheWay(chain) !== null;
}

/** Returns whether two values name the same chain. */
export function isSameChain(a: Chain, b: Chain): boolean {
  return a.family === b.family && a.table === b.table && a.name === b.name;
}
