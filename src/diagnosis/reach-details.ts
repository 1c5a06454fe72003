// The details of findings about the ways to a machine: its forwards, and its name on the host.
import type { Ipv4 } from '../address/ip.ts';
import type { ForwardProblem } from '../forwards/problem.ts';
import type { HostNames } from '../host-names/host-names.ts';
import type { ForwardDrop, ForwardTaking } from '../other-firewalls/forward-rules.ts';
import type { Chain } from '../other-firewalls/model.ts';

/** The fields of a kind that has none. */
export type None = object;

/** `machine` is its name: hostile. `forward` is a text, as in virlan.ini. */
export interface ReachDetails {
  'no-forwards': None;
  'forwards-active': { readonly forwards: readonly string[] };
  'forward-inactive': { readonly machine: string; readonly problem: ForwardProblem };
  /** The machine does not accept connections at the port that a forward leads to. */
  'forward-unanswered': {
    readonly forward: string;
    readonly ip: Ipv4;
    readonly port: number;
    readonly answer: 'refused' | 'none';
    readonly machine: string;
  };
  /** The machine does not have the address that a forward leads to. */
  'forward-without-lease': { readonly forward: string; readonly ip: Ipv4; readonly machine: string };
  /** No link of the host has the `address` of a forward. */
  'forward-address-absent': { readonly forward: string; readonly address: Ipv4 };
  /** Flows of UDP go on to the machine after their forward has ended. */
  'forwards-need-conntrack': None;
  /** firewalld drops what others than itself translate. */
  'forwards-kept-out': None;
  /** A rule of another program drops packets of a forward. Its texts are hostile. */
  'forward-dropped': { readonly drop: ForwardDrop };
  /** The same of a rule of virlan itself. */
  'forward-dropped-by-virlan': { readonly drop: ForwardDrop };
  /** A rule of another program leads new connections to the port of a forward elsewhere. Its texts are hostile. */
  'forward-taken': { readonly taking: ForwardTaking };
  /** A chain of another program may drop what comes by a forward. Its names are hostile. */
  'forwards-meet-chain': { readonly bridge: string; readonly chain: Chain };
  /** A link, which has dropped packets, takes them only from where it would send answers. Its name is hostile. */
  'forwards-meet-reverse-path': { readonly link: string; readonly dropped: number };
  'name-found': { readonly name: string; readonly ip: Ipv4; readonly by: HostNames };
  'name-not-wanted': None;
  'name-not-asked': None;
  /** Other addresses, which somebody else gave: hostile. */
  'name-elsewhere': { readonly name: string; readonly ip: Ipv4; readonly found: readonly string[] };
  'name-unknown': {
    readonly name: string;
    readonly network: string;
    readonly by: HostNames;
    /** True if libnss-libvirt is installed. */
    readonly hasNssModule: boolean;
  };
}
