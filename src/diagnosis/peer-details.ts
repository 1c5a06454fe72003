// The details of findings about the tunnel to the other hosts of a cluster, and about these.
import type { Ipv4 } from '../address/ip.ts';
import type { BgpProblem } from '../cluster/bgp.ts';
import type { SessionState } from '../cluster/bgp-sessions.ts';
import type { TunnelDrop } from '../other-firewalls/tunnel-drops.ts';

export interface PeerDetails {
  'tunnel-in-force': { readonly link: string };
  /** No link has the address of this host. */
  'underlay-missing': { readonly address: Ipv4 };
  /** Another program drops packets of the tunnel on this host. Its texts are hostile. */
  'tunnel-dropped': { readonly drop: TunnelDrop };
  /** It answers a ping of `bytes` bytes, the size of the largest packet of the tunnel. */
  'peer-answers': { readonly peer: Ipv4; readonly bytes: number; readonly macs: number };
  'peer-without-route': { readonly peer: Ipv4 };
  'peer-silent': { readonly peer: Ipv4 };
  /** It answers, and refuses packets to the port of VXLAN. */
  'peer-refuses': { readonly peer: Ipv4 };
  /** It answers, and not to packets of the tunnel's size. */
  'peer-needs-smaller-packets': PacketLimit;
  /** It answers. Without ping, no large packet is sent. */
  'peer-size-unknown': { readonly peer: Ipv4 };
  /** FRR's bgpd cannot be configured, or must not. */
  'bgp-not-configured': { readonly problem: BgpProblem };
  'bgp-established': { readonly neighbour: Ipv4; readonly routes: number };
  'bgp-without-route': { readonly neighbour: Ipv4 };
  'bgp-silent': { readonly neighbour: Ipv4 };
  /** It refuses connections to the port of BGP. */
  'bgp-refused': { readonly neighbour: Ipv4 };
  /** It answers, and not to connections to the port of BGP. */
  'bgp-blocked': { readonly neighbour: Ipv4 };
  'bgp-other-as': { readonly neighbour: Ipv4; readonly as: number };
  'bgp-same-identifier': { readonly neighbour: Ipv4 };
  /** For another reason, or one that was not looked for. */
  'bgp-not-established': { readonly neighbour: Ipv4; readonly state: SessionState };
}

/** The way to a peer on which packets of a tunnel are too large. */
export interface PacketLimit {
  readonly peer: Ipv4;
  readonly network: string;
  readonly bytes: number;
  /** The MTU with which they are not, as far as a host on the way or a route has told; null where none did. */
  readonly mtu: number | null;
}
