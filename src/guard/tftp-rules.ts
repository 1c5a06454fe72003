// The guard's rules for requests to dnsmasq by TFTP: it has one limit of files at once for all machines together.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import { filesAtOnce, filesPerMinute } from '../dnsmasq/tftp-limits.ts';
import { deny } from './denials.ts';
import { dynamicSet } from './limited-values.ts';

/** Returns the chains that judge a packet to port 69 of UDP. */
export function tftpChains(gateway: Ipv4): (readonly [name: string, rules: readonly string[]])[] {
  const more = `limit rate over ${filesPerMinute}/minute burst ${filesAtOnce} packets`;
  return [
    ['deny_tftp_flood', deny('tftp_rate')],
    [
      'tftp',
      [`ip daddr ${formatIp(gateway)} update @tftp_requests { iifname ${more} } goto deny_tftp_flood`],
    ],
  ];
}

/** Keeps the count of a tap until it may send as many requests as at first. */
const keptMinutes = Math.ceil(filesAtOnce / filesPerMinute);

/** Returns the name of the set that limits requests, with its declaration. */
export function tftpSets(): (readonly [name: string, lines: readonly string[]])[] {
  return [['tftp_requests', dynamicSet('type ifname', `${keptMinutes}m`)]];
}
