// The words for addresses that the host shares with machines. Pure.
import { formatIp } from '../../address/ip.ts';
import { excerpt, shellQuoted } from '../../text.ts';
import type { SharedAddress } from './shared-addresses.ts';

/** Longest part of a machine's name that is shown. */
const maxNameLength = 40;

/** Describes a shared address, without the remedy. */
export function sharedAddressText({ address, link, machine }: SharedAddress): string {
  const name = excerpt(machine, maxNameLength);
  return `${formatIp(address)}, which is reserved for ${name}, is an address of this host, on ${link}: the host answers in the place of the machine`;
}

/** Returns the command that takes a shared address from the host. */
export function sharedAddressRemedy({ address, prefixLength, link }: SharedAddress): string {
  return `ip address del ${formatIp(address)}/${prefixLength} dev ${shellQuoted(link)}`;
}
