// A libvirt domain from the view of one network, and its wishes, an element of its metadata:
//   <virlan:machine xmlns:virlan="urn:virlan:machine:1" mac="keep" ip="192.168.100.50" hostname="web"
//     aliases="api www *.apps" boot="http://192.168.100.1:8080/web.ipxe" group="shop"/>
import { type Ipv4, parseIpv4 } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import { parseBootUrl } from '../config/boot.ts';
import type { BootUrl } from '../config/config.ts';
import type { Domain, Nic } from '../libvirt/domain-xml.ts';
import { splitAliases } from '../names/alias.ts';
import { isLabel } from '../names/label.ts';
import type { ReservationProblem, WishAttribute } from './problem.ts';

/**
 * Most NICs of a machine on one network that are given MACs and addresses. Each is compared with the others
 * while other machines wait.
 */
export const maxNics = 128;

/** The namespace of a machine's wishes in its `<metadata>`. */
export const machineNamespace = 'urn:virlan:machine:1';

export interface Machine {
  readonly name: string;
  readonly uuid: string;
  /** The MACs of its NICs on this network, in XML order; at most `maxNics`. */
  readonly macs: readonly Mac[];
  /** Has those of `macs` whose ports libvirt isolates. */
  readonly isolated: ReadonlySet<Mac>;
  readonly wishes: Wishes;
}

/** The attributes of `<virlan:machine …/>`. A value that is not valid counts as missing, and is a problem. */
export interface Wishes {
  readonly keepsMac: boolean;
  readonly ip: Ipv4 | null;
  /** True if the machine has NICs elsewhere, too, which `ip` may be for. */
  readonly hasOtherNics: boolean;
  readonly hostname: string | null;
  /** Holds the text that the owner wrote, which is hostile: see `parseAlias`. */
  readonly aliases: readonly string[];
  /** The URL that it loads when it boots from the network. */
  readonly boot: BootUrl | null;
  /** The group of machines that it reaches where machines are isolated. Hostile. */
  readonly group: string | null;
  readonly problems: readonly ReservationProblem[];
}

export const noWishes: Wishes = {
  keepsMac: false,
  ip: null,
  hasOtherNics: false,
  hostname: null,
  aliases: [],
  boot: null,
  group: null,
  problems: [],
};

/**
 * Returns a domain with its NICs on a network: on its bridge, or on a libvirt network that passes through to
 * it.
 */
export function machineOn(bridge: string, passThrough: ReadonlySet<string>, domain: Domain): Machine {
  const nics = nicsOn(bridge, passThrough, domain);
  const macs = nics.flatMap(({ mac }) => mac ?? []);
  const element = domain.metadata.find(({ namespace }) => namespace === machineNamespace);
  const wishes = element === undefined ? noWishes : readWishes(element.attributes);
  const hasOtherNics = nics.length < domain.nics.length;
  return {
    name: domain.name,
    uuid: domain.uuid,
    macs: macs.slice(0, maxNics),
    isolated: new Set(nics.flatMap(({ mac, isolated }) => (isolated && mac) || [])),
    wishes: withLimit(macs.length, { ...wishes, hasOtherNics }),
  };
}

/** Returns the NICs of a domain that are on a network. */
export function nicsOn(bridge: string, passThrough: ReadonlySet<string>, { nics }: Domain): Nic[] {
  return nics.filter(
    nic =>
      nic.bridge === bridge || (nic.bridge === null && nic.network !== null && passThrough.has(nic.network)),
  );
}

function withLimit(nics: number, wishes: Wishes): Wishes {
  if (nics <= maxNics) return wishes;
  return { ...wishes, problems: [{ kind: 'too-many-nics', nics, limit: maxNics }, ...wishes.problems] };
}

function readWishes(attributes: ReadonlyMap<string, string>): Wishes {
  const problems: ReservationProblem[] = [];
  const read = <T>(attribute: WishAttribute, parse: (text: string) => T | null): T | null => {
    const text = attributes.get(attribute);
    const value = text === undefined ? null : parse(text);
    if (text !== undefined && value === null) problems.push({ kind: 'metadata-invalid', attribute });
    return value;
  };
  return {
    keepsMac: read('mac', text => (text === 'keep' ? true : null)) ?? false,
    ip: read('ip', parseIpv4),
    hasOtherNics: false,
    hostname: read('hostname', text => (isLabel(text) ? text : null)),
    aliases: splitAliases(attributes.get('aliases') ?? ''),
    boot: read('boot', text => parseBootUrl(text) || null),
    group: readGroup(attributes),
    problems,
  };
}

/** Longest name of a group; what is behind that does not count. */
const maxGroupLength = 200;

/** Reads the group of a machine from the attributes of its element. */
export function readGroup(attributes: ReadonlyMap<string, string>): string | null {
  return attributes.get('group')?.slice(0, maxGroupLength) || null;
}

/** Returns the MACs of a domain's NICs. */
export function macsOf({ nics }: Pick<Domain, 'nics'>): ReadonlySet<Mac> {
  return new Set(nics.flatMap(({ mac }) => mac ?? []));
}
