// The guard's rules for reports of multicast groups (IGMP, MLD): how many groups are joined behind one tap. The bridge
// has an entry for each, and one limit for all ports together (65,536 on a bridge that virlan made; the kernel's is
// 4,096): beyond it, it sends all multicast to all ports, until somebody turns its snooping on again.
import { deny } from './denials.ts';
import { againAfter, dynamicSet, limitValues } from './limited-values.ts';

/** The groups that may be joined behind one tap, at once and again in the time that the bridge keeps an entry. */
export const groupsBehindTap = 256;

/** Somewhat more than its membership interval (260 s). */
const keptSeconds = 300;

/**
 * The records that are read one by one. Reports with more, or with sources, are limited by their length: 8 bytes for
 * each group of IGMP, and 20 of MLD. A machine with 250 groups of IPv4 may report all of them each 125 s, as a querier
 * asks it to. Together, this is less than 1,600 groups of a tap in the time that the bridge keeps one.
 */
const recordsRead = 4;
const longReports = 'limit rate over 16 bytes/second burst 4096 bytes';

/** The places of fields in a message, in bits: RFC 3376 and RFC 3810. */
const recordCount = '@th,48,16';
const recordsAt = 64;
const families = {
  igmp: { oneGroup: '@th,32,32', groupBits: 32 },
  mld: { oneGroup: '@th,64,128', groupBits: 128 },
} as const;

/** IGMP, also behind a VLAN tag. */
const igmp = 'meta protocol ip igmp';

type Family = keyof typeof families;

/** Returns `igmp_message`, `mld_group` and `mld_records`, which judge messages, and the chains that they go to. */
export function groupChains(): (readonly [name: string, rules: readonly string[]])[] {
  return [
    ['deny_more_groups', deny('groups')],
    ['long_report', [`update @long_reports { iifname ${longReports} } goto deny_more_groups`]],
    ...recordChains('igmp'),
    ...recordChains('mld'),
    [
      'igmp_message',
      [
        // The bridge reads later fragments, too, as if they were messages (ip_mc_check_igmp). nftables does not.
        'meta protocol ip ip frag-off & 0x3fff != 0 goto deny_other',
        // A bridge sends multicast only to ports that answer queries, and to the one that they come from.
        `${igmp} type membership-query goto deny_as_router`,
        // It sends all multicast to a port with a multicast router, which announces itself by this type (RFC 4286).
        `${igmp} type 0x30 goto deny_as_router`,
        `${igmp} type { membership-report-v1, membership-report-v2 } goto igmp_group`,
        `${igmp} type membership-report-v3 goto igmp_records`,
      ],
    ],
  ];
}

function recordChains(family: Family): (readonly [name: string, rules: readonly string[]])[] {
  const { oneGroup, groupBits } = families[family];
  const recordBits = 32 + groupBits;
  const records = Array.from({ length: recordsRead }, (_, index) => recordsAt + index * recordBits);
  const chain = (index: number) => `${family}_group_${index + 1}`;
  return [
    [`${family}_group`, judge(family, oneGroup)],
    ...records.map((at, index) => [chain(index), judge(family, `@th,${at + 32},${groupBits}`)] as const),
    [
      `${family}_records`,
      [
        `${recordCount} > ${recordsRead} goto long_report`,
        ...records.flatMap((at, index) => [
          ...(index === 0 ? [] : [`${recordCount} <= ${index} return`]),
          // Behind sources, and data of a record, the next one is somewhere else.
          `@th,${at + 8},24 != 0 goto long_report`,
          `jump ${chain(index)}`,
        ]),
      ],
    ],
  ];
}

/** Returns a chain that returns if a group may be joined. */
function judge(family: Family, group: string): string[] {
  const limit = {
    known: `${family}_groups`,
    counting: 'new_groups',
    rate: againAfter(keptSeconds, groupsBehindTap),
    denied: 'deny_more_groups',
  };
  return limitValues(group, limit, 'return');
}

/** Returns the names of the sets that limit groups, with their declarations. */
export function groupSets(): (readonly [name: string, lines: readonly string[]])[] {
  const timeout = `${keptSeconds}s`;
  return [
    ['igmp_groups', dynamicSet(`typeof iifname . ${families.igmp.oneGroup}`, timeout)],
    ['mld_groups', dynamicSet(`typeof iifname . ${families.mld.oneGroup}`, timeout)],
    ['new_groups', dynamicSet('type ifname', timeout)],
    ['long_reports', dynamicSet('type ifname', timeout)],
  ];
}
