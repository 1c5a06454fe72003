// The texts for repair units. Pure.
import { backendText } from '../network/steps/step-text.ts';
import type { Unit } from '../network/steps/units.ts';
import { excerpt } from '../text.ts';

/** Longest name of a machine in a text, in characters. */
const maxNameLength = 40;

/** Names a unit for people: `dnsmasq of k8s-br0`. */
export function unitText(unit: Unit): string {
  switch (unit.kind) {
    case 'bridge':
      return `bridge ${unit.bridge}`;
    case 'port':
      return `port ${unit.link}`;
    case 'dummy':
      return `dummy NIC ${unit.link}`;
    case 'link-attribute':
      return `${unit.attribute === 'state' ? 'link' : unit.attribute} of ${unit.link}`;
    case 'address':
    case 'route':
      return `${unit.kind} on ${unit.link}`;
    case 'sysctl':
      return unit.key;
    case 'file':
      return unit.path;
    case 'rules':
      return `firewall (${backendText(unit.backend, unit.family)}) of ${unit.bridge}`;
    case 'connections':
      return `connections on ${unit.bridge}`;
    case 'guard':
      return `guard of ${unit.bridge}`;
    case 'tunnel':
      return `tunnel of ${unit.bridge}`;
    case 'bgp':
      return 'bgpd of FRR';
    case 'forwards':
      return `forwards to ${unit.bridge}`;
    case 'other-firewall':
      return `rules for ${unit.bridge} in ${unit.firewall}`;
    case 'reservations':
      return `hostsfile of ${unit.bridge}`;
    case 'host-names':
      return `names of ${unit.bridge} in the host's resolver`;
    case 'names':
      return `names of ${unit.bridge}`;
    case 'mac': {
      const machine = excerpt(unit.machine, maxNameLength);
      return `MAC of ${machine} (NIC ${unit.nic} on ${unit.network})`;
    }
    case 'dnsmasq':
      return `dnsmasq of ${unit.bridge}`;
  }
}
