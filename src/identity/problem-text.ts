// The words for problems of reservations: in `virlan status`, in the log and in the doctor's findings.
import { formatIp } from '../address/ip.ts';
import { excerpt } from '../text.ts';
import type { RefusedAlias } from './alias-refusal.ts';
import type { Holder, ReservationProblem, SkipReason, WishAttribute } from './problem.ts';

/** Longest machine name that a message repeats, in characters. */
const maxNameLength = 40;

const wishRemedies: Readonly<Record<WishAttribute, string>> = {
  mac: 'only mac="keep" is valid',
  ip: 'write an address',
  hostname: 'write a host name of a-z, 0-9 and "-"',
  boot: 'write a URL such as http://192.168.100.1/web.ipxe',
};

/** Returns one line: what is wrong and what to do. Names in it are printable ASCII. */
export function problemText(problem: ReservationProblem): string {
  switch (problem.kind) {
    case 'mac-taken':
      return problem.holder.kind === 'gateway'
        ? `MAC ${problem.mac} is that of ${holderText(problem.holder)}, so nothing reaches it: give its NIC another`
        : `MAC ${problem.mac} is also that of ${holderText(problem.holder)}: give one of them another`;
    case 'address-taken':
      return addressText(problem.address, `is that of ${holderText(problem.holder)}`);
    case 'address-unusable':
      return addressText(problem.address, 'is not free on this network');
    case 'line-unusable':
      return `a line of the hostsfile gives it ${formatIp(problem.address)}, which no machine of this network can have: correct the line`;
    case 'line-without-address':
      return `a line of the hostsfile has its MAC ${problem.mac} and no address, so dnsmasq gives it any: write its address into the line`;
    case 'mac-ignored':
      return `a line of the hostsfile tells dnsmasq to ignore its MAC ${problem.mac}: it has its address only if it is set in the machine`;
    case 'hostname-taken':
      return `its hostname ${problem.label} is taken: choose another in its metadata; a line of yours that is about it needs its MAC`;
    case 'pool-exhausted':
      return `no address is free in dhcp-range${heldText(problem.held)}: widen it, or forget machines that no longer exist`;
    case 'too-many-nics':
      return `it has ${problem.nics} NICs on this network, and only the first ${problem.limit} get addresses`;
    case 'name-taken':
      return `its name is that of another machine, on host ${formatIp(problem.host)}: rename one of them`;
    case 'runs-elsewhere':
      return `host ${formatIp(problem.host)} has it, too, and it runs here: stop it here, or undefine it there`;
    case 'metadata-invalid':
      return `its metadata's ${problem.attribute} is not valid: ${wishRemedies[problem.attribute]}`;
    case 'legacy':
      return problem.text;
  }
}

const heldWords: Readonly<Record<SkipReason, string>> = {
  reserved: 'reserved for machines',
  leased: 'leased to machines with another address',
  answered: 'answered for by somebody on the bridge',
  fixed: 'in [host.…] sections and lines written by hand',
  elsewhere: 'not claimed by this host',
};

/** Says how many addresses are held in which way. */
function heldText(held: Readonly<Record<SkipReason, number>>): string {
  const parts = (Object.keys(heldWords) as SkipReason[]).flatMap(reason =>
    held[reason] === 0 ? [] : [`${held[reason]} ${heldWords[reason]}`],
  );
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

/** Says in one line which alias a machine does not have, and why. */
export function refusedAliasText(refused: RefusedAlias): string {
  return `its alias ${excerpt(refused.alias, maxNameLength)} ${whyRefused(refused)}`;
}

function whyRefused(refused: RefusedAlias): string {
  switch (refused.reason) {
    case 'invalid':
      return 'is not a host name: write one of a-z, 0-9 and "-", or *.NAME';
    case 'special':
      return 'has a special meaning: choose another';
    case 'outside':
      return "is outside of the network's domain: write a name without a dot";
    case 'host-name':
      return 'is the name of this host: choose another';
    case 'fixed':
      return 'belongs to a [host.…] section or to a line in the hostsfile: choose another';
    case 'too-many':
      return 'is one more than a machine may have: remove some';
    case 'taken':
      return `is a name of ${holderText(refused.holder)}: choose another`;
  }
}

/** Names a holder in a message. */
export function holderText(holder: Holder): string {
  switch (holder.kind) {
    case 'own-nic':
      return 'another of its NICs';
    case 'gateway':
      return 'the gateway';
    case 'machine':
      return excerpt(holder.machine, maxNameLength);
  }
}

function addressText(address: Parameters<typeof formatIp>[0], why: string): string {
  return `its address ${formatIp(address)} ${why}: choose another in its metadata`;
}
