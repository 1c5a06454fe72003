// Reads other programs' firewalls from the kernel and from their files.
import { hasLegacyTables, otherFlavour } from '../firewall/flavours.ts';
import { listTimeoutSeconds, type RulesReader } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { parseNftChains, parseSavedChains, savedLines } from './chains.ts';
import {
  isSameChain,
  legacyFamily,
  type OtherFirewallsReading,
  otherFirewallNames,
  type Unread,
} from './model.ts';
import { otherFirewalls, readPrograms } from './registry.ts';

/**
 * Reads all other firewalls with regard to one bridge. On a host without any, this runs one process that
 * lists chains, which takes the same time whatever the number of rules. Anything that cannot be read is left
 * out and listed in `unread`.
 */
export async function readOtherFirewalls(
  system: System,
  bridge: string,
  reader: RulesReader,
): Promise<OtherFirewallsReading> {
  const unread: Unread[] = [];
  const attempt = async <T>(subject: Unread['subject'], work: () => Promise<T>, fallback: T): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      unread.push({ subject, error: error as Error });
      return fallback;
    }
  };
  const listChains = async () =>
    parseNftChains(
      await system.run('nft', ['--json', 'list', 'chains'], { timeoutSeconds: listTimeoutSeconds }),
    );
  const listed = system.isInstalled('nft') ? await attempt('chains', listChains, null) : null;
  const needsIptables =
    listed === null ||
    hasLegacyTables(system.readFile, 'ipv4') ||
    otherFirewallNames.some(name => otherFirewalls[name].needsIptables(system, listed));
  const save = () => reader.savedIptables('ipv4');
  const saveLegacy = () => reader.savedByFlavour('legacy', 'ipv4');
  // The tables of the flavour that `iptables` is not.
  const isHidden = hasLegacyTables(system.readFile, 'ipv4') && otherFlavour(system, 'ipv4') === 'legacy';
  const [saved, hidden] = await Promise.all([
    needsIptables ? attempt('iptables', save, '') : '',
    isHidden ? attempt('iptables', saveLegacy, '') : '',
  ]);
  const iptables = savedLines(saved).get('filter') ?? [];
  const legacy = savedLines(hidden);
  const unlisted = parseSavedChains(iptables, 'ip', 'filter').filter(
    chain => !listed?.some(other => isSameChain(other, chain)),
  );
  const hiddenChains = [...legacy].flatMap(([table, lines]) => parseSavedChains(lines, legacyFamily, table));
  const kernel = { chains: [...(listed ?? []), ...unlisted, ...hiddenChains], iptables, legacy };
  const programs = await readPrograms(system, bridge, kernel, (subject, error) => {
    unread.push({ subject, error });
  });
  return { ...kernel, ...programs, unread };
}
