// A second way to the outside.
import { execa } from 'execa';

/** Adds the link `uplink2`, 198.51.100.1/24, whose other end is in a network namespace, as 198.51.100.2. */
export async function addSecondUplink(namespace: string, link: string): Promise<void> {
  const ip = (...args: string[]) => execa('ip', args);
  await ip('link', 'add', 'uplink2', 'type', 'veth', 'peer', 'name', link, 'netns', namespace);
  await ip('address', 'add', '198.51.100.1/24', 'dev', 'uplink2');
  await ip('link', 'set', 'uplink2', 'up');
  await ip('-n', namespace, 'address', 'add', '198.51.100.2/24', 'dev', link);
  await ip('-n', namespace, 'link', 'set', link, 'up');
}
