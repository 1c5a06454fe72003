import { existsSync } from 'node:fs';
import { rulesPatience, type SavedRules } from '../network/links.ts';
import type { Backend } from '../network/state.ts';
import { listDirectory, readFileOrNull } from '../system/files.ts';
import { isInstalled, run } from '../system/run.ts';
import { askZone, firewalldZones, ufwFiles } from './apply.ts';
import { filterLines, parseNftChains, parseSavedChains } from './chains.ts';
import { zoneName } from './firewalld.ts';
import {
  type Chain,
  dropsByPolicy,
  type ForeignFirewalls,
  isDockerUser,
  isFirewalld,
  isIptablesBuiltin,
  isUfwPlace,
  proposedMarkOf,
} from './model.ts';
import { isSameChain, reportStranger, strangeChains } from './unknown-chains.ts';

/** Its daemon's process, and the bridge that outlives it. */
const dockerTraces = ['/run/docker.pid', '/sys/class/net/docker0'];

/** How many chains of strangers are looked into for the rule that virlan proposed. */
const mostStrangers = 8;

/**
 * What other firewalls are on this host, and what of virlan's they hold for a bridge. On a host without any this is one
 * process that lists names of chains, which takes no longer with many rules. What cannot be read is passed over with a
 * word. `save` gives what `iptables-save` prints, and runs it when it is first asked.
 */
export async function readForeign(bridge: string, save: SavedRules): Promise<ForeignFirewalls> {
  const unread: string[] = [];
  const tryTo = async <T>(what: string, fallback: T, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      unread.push(`${what}: ${(error as Error).message}`);
      return fallback;
    }
  };
  const isOnNft = isInstalled('nft');
  const listed = isOnNft
    ? await tryTo('other firewalls cannot be seen', null, async () =>
        parseNftChains(await run('nft', ['--json', 'list', 'chains'], '', rulesPatience)),
      )
    : null;
  const ufw = readUfw();
  const iptables =
    listed === null || ufw?.enabled === true || hasLegacyRules() || listed.some(isWorthALook)
      ? filterLines(await tryTo('rules of iptables cannot be seen', '', save))
      : [];
  const others = parseSavedChains(iptables).filter(
    chain => !listed?.some(other => isSameChain(other, chain)),
  );
  const chains = [...(listed ?? []), ...others];
  const firewalld = readFirewalld(bridge);
  const zone =
    firewalld !== null && chains.some(isFirewalld)
      ? await tryTo('firewalld is passed over, it does not say in which zone it has the bridge', null, () =>
          askZone(bridge, rulesPatience),
        )
      : null;
  return {
    chains,
    iptables,
    docker: dockerTraces.some(existsSync),
    ufw,
    firewalld: firewalld === null ? null : { ...firewalld, zone },
    unread,
  };
}

/** What to tell of strangers' chains, but for those that have the rule which virlan proposes. */
export async function lookIntoStrangers(
  bridge: string,
  backend: Backend,
  found: ForeignFirewalls,
): Promise<string[]> {
  const reports = strangeChains(backend, found)
    .slice(0, mostStrangers)
    .map(async chain => {
      try {
        return (await isAnswered(bridge, chain, found.iptables)) ? [] : [reportStranger(bridge, chain)];
      } catch (error) {
        return [`${reportStranger(bridge, chain)} (its rules cannot be read: ${(error as Error).message})`];
      }
    });
  return (await Promise.all(reports)).flat();
}

/** Whether a chain says that it is worth while to read all rules of iptables. */
function isWorthALook(chain: Chain): boolean {
  return isDockerUser(chain) || isUfwPlace(chain) || (isIptablesBuiltin(chain) && dropsByPolicy(chain));
}

/** Whether the kernel has tables of iptables that nft does not list. */
function hasLegacyRules(): boolean {
  return (readFileOrNull('/proc/net/ip_tables_names') ?? '') !== '';
}

function readUfw(): ForeignFirewalls['ufw'] {
  const rules = readFileOrNull(ufwFiles.rules);
  if (rules === null) return null;
  const isOn = /^\s*ENABLED\s*=\s*"?yes"?\s*$/im.test(readFileOrNull(ufwFiles.conf) ?? '');
  return { enabled: isOn && isInstalled('ufw'), rules };
}

function readFirewalld(
  bridge: string,
): Pick<NonNullable<ForeignFirewalls['firewalld']>, 'zoneFile' | 'claimedBy'> | null {
  const files = listDirectory(firewalldZones).filter(name => name.endsWith('.xml'));
  const own = `${zoneName(bridge)}.xml`;
  const claiming = files.find(
    name =>
      name !== own && readFileOrNull(`${firewalldZones}/${name}`)?.includes(`<interface name="${bridge}"/>`),
  );
  if (readFileOrNull('/etc/firewalld/firewalld.conf') === null && !files.includes(own)) return null;
  return {
    zoneFile: readFileOrNull(`${firewalldZones}/${own}`),
    claimedBy: claiming === undefined ? null : claiming.replace(/\.xml$/, ''),
  };
}

async function isAnswered(bridge: string, chain: Chain, iptables: readonly string[]): Promise<boolean> {
  const { family, table, name } = chain;
  const mark = proposedMarkOf(bridge);
  if (isIptablesBuiltin(chain) && iptables.length > 0)
    return iptables.some(
      line => line.startsWith(`-A ${name} `) && line.includes(`--comment ${mark} -j ACCEPT`),
    );
  const listing = await run('nft', ['--stateless', 'list', 'chain', family, table, name], '', rulesPatience);
  return listing.includes(`accept comment "${mark}"`);
}
