// The error for a machine that does not exist: it names the one that was probably meant.
import { VirlanError } from '../errors.ts';
import { adviceFor } from '../names/nearest.ts';

/** Returns VirlanError 'unknown-machine'. `problem` is the first half of its message. */
export function unknownMachine(
  problem: string,
  name: string,
  known: readonly { readonly name: string }[],
  listing: 'virlan status' | 'virsh list --all',
  options?: { readonly cause: unknown },
): VirlanError {
  const names = known.map(each => each.name);
  return new VirlanError('unknown-machine', `${problem}: ${adviceFor(name, names, listing)}`, options);
}
