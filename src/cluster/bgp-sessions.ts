// The sessions of bgpd with other hosts, and reasons why one is not established. Pure. Of `show bgp neighbors json`:
//   {"10.0.0.2": {"bgpState": "Established", "bgpTimerUpEstablishedEpoch": 1795808393,
//     "addressFamilyInfo": {"l2VpnEvpn": {"acceptedPrefixCounter": 2}}},
//    "10.0.0.3": {"bgpState": "Idle", "lastResetTimerMsecs": 4000, "lastErrorCodeSubcode": "0202"}}
import { type Ipv4, parseIpv4 } from '../address/ip.ts';

/** The state of a session (RFC 4271); 'clearing' is FRR's own, 'unknown' another one. */
export type SessionState = (typeof sessionStates)[number];

/** All states. */
export const sessionStates = [
  'established',
  'idle',
  'connect',
  'active',
  'opensent',
  'openconfirm',
  'clearing',
  'deleted',
  'unknown',
] as const;

/** A session with a neighbour. */
export interface BgpSession {
  readonly neighbour: Ipv4;
  readonly state: SessionState;
  /** The time when it was established, or ended; null if it has never been established. */
  readonly since: Date | null;
  /** The number of routes received from it: machines and hosts. */
  readonly routes: number;
  /** The reason that either side named when it last ended the session; null if it named none, or another one. */
  readonly error: 'other-as' | 'same-identifier' | null;
}

interface FrrNeighbour {
  bgpState?: unknown;
  bgpTimerUpEstablishedEpoch?: unknown;
  lastResetTimerMsecs?: unknown;
  lastErrorCodeSubcode?: unknown;
  addressFamilyInfo?: { l2VpnEvpn?: { acceptedPrefixCounter?: unknown } };
}

/** Reads the sessions that carry EVPN; `now` is the time of the reading. */
export function parseSessions(output: string, now: Date): BgpSession[] {
  const all = JSON.parse(output || '{}') as Record<string, FrrNeighbour>;
  return Object.entries(all).flatMap(([address, found]) => {
    const neighbour = parseIpv4(address);
    const evpn = found.addressFamilyInfo?.l2VpnEvpn;
    if (neighbour === null || evpn === undefined) return [];
    const state = stateOf(found.bgpState);
    return {
      neighbour,
      state,
      since: sinceOf(state, found, now),
      routes: numberOf(evpn.acceptedPrefixCounter) ?? 0,
      error: state === 'established' ? null : errorOf(found.lastErrorCodeSubcode),
    };
  });
}

function stateOf(text: unknown): SessionState {
  const lower = String(text).toLowerCase();
  return sessionStates.find(each => each === lower) ?? 'unknown';
}

function sinceOf(state: SessionState, found: FrrNeighbour, now: Date): Date | null {
  const seconds = numberOf(found.bgpTimerUpEstablishedEpoch);
  if (state === 'established') return seconds === null ? null : new Date(seconds * 1000);
  const agoMs = numberOf(found.lastResetTimerMsecs);
  return agoMs === null ? null : new Date(now.getTime() - agoMs);
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** The code and subcode of a NOTIFICATION (RFC 4271, section 4.5), in hexadecimal digits. */
function errorOf(code: unknown): BgpSession['error'] {
  if (code === '0202') return 'other-as';
  return code === '0203' ? 'same-identifier' : null;
}

/** The answer of a neighbour to a connection to the port of BGP, where no session is established. */
export type PortAnswer = 'accepted' | 'refused' | 'no-route' | 'silence';

/** A session, and why it is not established. The names are the ends of the codes of findings. */
export type SessionAnswer =
  | 'established'
  | 'without-route'
  | 'silent'
  | 'refused'
  | 'blocked'
  | 'other-as'
  | 'same-identifier'
  | 'not-established';

/** A session that was looked at. */
export interface SessionReport extends BgpSession {
  readonly answer: SessionAnswer;
}

/**
 * Judges a session; null stands for a neighbour that was not asked. The reason that bgpd last named may be old, so it
 * does not count where the neighbour does not answer now.
 */
export function judgeSession(
  { state, error }: Pick<BgpSession, 'state' | 'error'>,
  asked: { readonly port: PortAnswer; readonly isReachable: boolean } | null,
): SessionAnswer {
  if (state === 'established') return 'established';
  switch (asked?.port) {
    case 'no-route':
      return 'without-route';
    case 'refused':
      return 'refused';
    case 'silence':
      return asked?.isReachable === true ? 'blocked' : 'silent';
    case 'accepted':
    case undefined:
      return error ?? 'not-established';
  }
}
