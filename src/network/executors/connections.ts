// Ends connections whose addresses are translated, or not, as it was right when they began: the kernel goes on
// with that, whatever the rules say by then.
import { formatPrefix, type Ipv4, ipv4After, type Prefix, parseAddressWithPrefix } from '../../address/ip.ts';
import { CommandError, VirlanError } from '../../errors.ts';
import { system } from '../../system/system.ts';
import { readApplied, writeApplied } from '../records/applied-record.ts';
import type { Treatment } from '../state/state.ts';

/**
 * Ends the connections that machines of a subnet have begun, and with them their translation. What goes on is
 * tracked again as it is. Connections of the host's own to machines are left alone: their answers would not be
 * known as such. Tries it once, recording the new `treatment`: throws VirlanError 'command' where conntrack is
 * not installed or fails.
 */
export async function endConnections(
  bridge: string,
  { from, to }: { readonly from: Treatment; readonly to: Treatment },
): Promise<void> {
  writeApplied(bridge, { ...readApplied(bridge), treatment: { ...to } });
  for (const block of blocksOfMachines(from.subnet)) await deleteFrom(bridge, block);
}

async function deleteFrom(bridge: string, block: Prefix<Ipv4>): Promise<void> {
  try {
    await system.run('conntrack', ['-D', '-f', 'ipv4', '-s', formatPrefix(block)]);
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause;
    // conntrack(8) exits with 1 when it found nothing to delete, and for other reasons.
    if (/\b0 flow entries have been deleted/.test(cause.stderr)) return;
    const message =
      cause.reason === 'missing'
        ? `connections on ${bridge} that began before keep their addresses until they end: conntrack is not installed`
        : cause.message;
    throw new VirlanError('command', message, { cause });
  }
}

/** Returns prefixes that cover a subnet without its first two addresses, of which the second is the host's. */
export function blocksOfMachines(subnet: string): Prefix<Ipv4>[] {
  const read = parseAddressWithPrefix(subnet);
  if (typeof read?.address !== 'number') return [];
  const { address, length } = read;
  return Array.from({ length: 31 - length }, (_, index) => ({
    network: ipv4After(address, 2 ** (index + 1)),
    length: 31 - index,
  }));
}
