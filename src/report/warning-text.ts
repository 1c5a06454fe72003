// The texts for warnings about a network. Pure.
import { conflictText } from '../network/conflicts.ts';
import type { NetworkWarning } from '../network/warnings.ts';
import { unreadText } from '../other-firewalls/model.ts';
import { proposedCommand, type UnknownChain } from '../other-firewalls/unknown-chains.ts';

/** Describes a warning in one line, with the remedy. Names of other programs' chains in it are hostile. */
export function warningText(warning: NetworkWarning): string {
  switch (warning.kind) {
    case 'conflict':
      return conflictText(warning.conflict);
    case 'unknown-chain':
      return unknownChainText(warning.bridge, warning.found);
    case 'unread':
      return unreadText(warning.unread);
    case 'dnsmasq-keeps-configuration':
    case 'reservations-unknown':
      return warning.error.message;
  }
}

function unknownChainText(bridge: string, { chain, unreadable }: UnknownChain): string {
  const { family, table, name, hook } = chain;
  const packets = hook === 'forward' ? 'forwarded packets of machines' : 'packets from machines to this host';
  const place = `chain ${name} of table ${family} ${table}`;
  const remedy = proposedCommand(bridge, chain) ?? `let packets from ${bridge} pass there`;
  const doubt = unreadable === null ? '' : ` (its rules cannot be read: ${unreadable.message})`;
  return `${place} drops ${packets} unless a rule of its own accepts them: ${remedy}${doubt}`;
}
