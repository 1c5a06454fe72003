// The guard's rules for DHCP messages of machines: in whose name, how many, and for how many clients.
import type { NetworkConfig } from '../config/config.ts';
import { deny } from './denials.ts';
import { dynamicSet, limitValues } from './limited-values.ts';
import { dhcpClient, dhcpHardware, macOfOther } from './matches.ts';

/** The messages per second that a machine needs to boot all its NICs at once, and some more. */
const messagesPerSecond = 10;
const messagesAtOnce = 40;

/**
 * The clients with MACs of their own behind one tap (nested machines, containers on macvlan) that may ask for an
 * address, at once and again in the time of a lease. A client counts again when that time is over, because its
 * lease may have been renewed: at most three times as many addresses are leased by way of one tap.
 */
export const clientsBehindTap = 16;

/** The headers of UDP, and the shortest message that dnsmasq reads: the fields before the options (RFC 2131). */
const headerBytes = 8;
const shortestMessage = 240;

/**
 * The longest datagram in which there is one message. A machine may have the host take a datagram apart into several
 * of one length (UDP_SEGMENT), which the kernel does behind all rules: nftables sees the beginning of the first one.
 * Common messages have 300 bytes, or 548 with zeros at the end.
 */
const longestDatagram = headerBytes + 2 * shortestMessage - 1;

const secondsPerWeek = 7 * 24 * 3600;
const secondsPerYear = 365 * 24 * 3600;

type LeaseTime = NetworkConfig['leaseTimeSeconds'];

function secondsOf(time: LeaseTime): number {
  return time === 'infinite' ? secondsPerYear : time;
}

/** Returns the chain `dhcp`, which judges a message, and those that it goes to. */
export function dhcpChains(leaseTime: LeaseTime): (readonly [name: string, rules: readonly string[]])[] {
  // The longest unit of nft, because a limit is a whole number.
  const perWeek = Math.max(1, Math.round((clientsBehindTap * secondsPerWeek) / secondsOf(leaseTime)));
  const moreMessages = `limit rate over ${messagesPerSecond}/second burst ${messagesAtOnce} packets`;
  const clients = {
    known: 'dhcp_clients',
    counting: 'dhcp_new_clients',
    rate: `rate over ${perWeek}/week burst ${clientsBehindTap} packets`,
    denied: 'deny_dhcp_more',
  };
  return [
    ['deny_dhcp_named', deny('dhcp_name', dhcpClient)],
    ['deny_dhcp_fragment', deny('dhcp_server')],
    ['deny_dhcp_flood', deny('dhcp_rate')],
    ['deny_dhcp_more', deny('dhcp_clients')],
    ['dhcp_client', limitValues(dhcpClient, clients, 'accept')],
    [
      'dhcp',
      [
        // A fragment would hide who the message is of.
        'ip frag-off & 0x3fff != 0 goto deny_dhcp_fragment',
        // With the rest cut off, the checksum is not right, and there may be none (RFC 768).
        `meta pkttype != other udp length > ${longestDatagram} udp length set ${longestDatagram} udp checksum set 0`,
        // To dnsmasq, all bytes of a longer hardware address belong to the client's name.
        `${dhcpHardware} != 0x0106 goto deny_dhcp_named`,
        `${macOfOther(dhcpClient)} goto deny_dhcp_named`,
        `update @dhcp_messages { iifname ${moreMessages} } goto deny_dhcp_flood`,
        `iifname . ${dhcpClient} != @own_macs goto dhcp_client`,
      ],
    ],
  ];
}

/** Returns the names of the sets that limit messages and clients, with their declarations. */
export function dhcpSets(leaseTime: LeaseTime): (readonly [name: string, lines: readonly string[]])[] {
  const timeout = `${secondsOf(leaseTime)}s`;
  return [
    ['dhcp_messages', dynamicSet('type ifname', '1m')],
    ['dhcp_clients', dynamicSet('typeof iifname . @ll,48,48', timeout)],
    // A tap that has had no new client for this time may have as many as at first.
    ['dhcp_new_clients', dynamicSet('type ifname', timeout)],
  ];
}
