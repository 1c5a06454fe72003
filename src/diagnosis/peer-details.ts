// The details of findings about the tunnel to the other hosts of a cluster, and about these.
import type { Ipv4 } from '../address/ip.ts';
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
}

/** The way to a peer on which packets of a tunnel are too large. */
export interface PacketLimit {
  readonly peer: Ipv4;
  readonly network: string;
  readonly bytes: number;
  /** The MTU with which they are not, as far as a host on the way or a route has told; null where none did. */
  readonly mtu: number | null;
}
