// The words for the keys of virlan.ini that decide about virlan's own rules.
import type { OwnChain } from './own-chains.ts';

/** Names the keys that decide about packets in a chain; `link` is the one that they come in by, where that is known. */
export function decidingKeys({ bridge, rules }: OwnChain, link: string | null): string {
  const section = `of the network with the bridge ${bridge} in virlan.ini`;
  switch (rules) {
    case 'forward':
      return `mode, outside, uplink and reaches ${section} decide about it`;
    case 'input':
      return link === null || link === bridge
        ? `host-access and host-allow ${section} decide about it`
        : `host-firewall ${section} decides about it`;
    case 'guard':
      return `guard and isolate ${section} decide about it`;
    case 'tunnel':
      return 'peers of [cluster] in virlan.ini decides about it';
    case 'loopback':
    case 'translation':
      return 'no key of virlan.ini decides about it';
  }
}
