// Finds the rule of this host that drops what is asked of the name servers outside, as a VPN's against DNS leaks:
//   table inet vpn { chain out { type filter hook output …; oifname != "tun0" udp dport 53 drop; } }
import type { Drop } from '../packet-drop.ts';
import { removeCounters } from './counters.ts';
import { findDrop } from './drops.ts';
import { counterTable } from './names.ts';
import { traced } from './trace.ts';
import { hasFields, traceEvents } from './trace-events.ts';

/** Most packets a second that are traced: other programs ask name servers, too. */
const maxTraced = 20;

/** Traces the questions to name servers outside while `ask` makes dnsmasq ask some; null where none is dropped. */
export async function findUpstreamDrop(bridge: string, ask: () => Promise<unknown>): Promise<Drop | null> {
  const events = traceEvents(await traced(renderTrace(bridge), ask));
  return findDrop(events, packet => ['udp dport 53', 'udp sport 53'].some(field => hasFields(packet, field)));
}

/** Returns the table for `nft -f -`. Its last chain at each hook shows that a packet has come that far. */
export function renderTrace(bridge: string): string {
  const trace = (link: string, port: string) =>
    `${link} != { "lo", "${bridge}" } udp ${port} 53 limit rate ${maxTraced}/second meta nftrace set 1`;
  const chains = [
    ['asked', 'output', -400, trace('oifname', 'dport')],
    ['answered', 'prerouting', -400, trace('iifname', 'sport')],
    ...['prerouting', 'input', 'output', 'postrouting'].map(hook => [`past_${hook}`, hook, 400, ''] as const),
  ] as const;
  const bodies = chains.map(
    ([name, hook, priority, rule]) =>
      `\tchain ${name} {\n\t\ttype filter hook ${hook} priority ${priority}; policy accept;\n\t\t${rule}\n\t}\n`,
  );
  return `${removeCounters}table ip ${counterTable} {\n${bodies.join('')}}\n`;
}
