// traces.ts: what virlan could leave behind on a host.
import type { ClusterHost } from '../../sandbox/cluster-hosts.ts';

/** Returns the links and the rules of a host. Links of clients, and the tables that libvirt makes, do not count. */
export async function traces(host: ClusterHost): Promise<string> {
  const links = JSON.parse(await host.run('ip', '-json', 'link', 'show')) as { ifname: string }[];
  const names = links.map(({ ifname }) => ifname).filter(name => !/^(veth-|virbr)/.test(name));
  return [names.sort().join(), await host.run('nft', 'list', 'ruleset')].join('\n');
}
