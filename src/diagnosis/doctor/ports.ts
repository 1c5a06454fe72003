// Finds the program that has a port, by the output of ss(8):
// `udp UNCONN 0 0 0.0.0.0%k8s-br0:67 0.0.0.0:* users:(("dnsmasq",pid=86,fd=4))`
import type { PortOwner } from '../details.ts';

/** Reads `ss --no-header --listening --numeric --processes`. Ignores lines of any other form. */
export function parsePortOwners(text: string): PortOwner[] {
  return text.split('\n').flatMap(line => {
    const [protocol = '', , , , local = '', , ...users] = line.trim().split(/\s+/);
    const [, address = '', port = ''] = /^(.*):(\d+)$/.exec(local) ?? [];
    if ((protocol !== 'udp' && protocol !== 'tcp') || port === '') return [];
    const [, program = null, pid = null] = /\(\("(.*?)",pid=(\d+)/.exec(users.join(' ')) ?? [];
    return [{ protocol, address, port: Number(port), program, pid: pid === null ? null : Number(pid) }];
  });
}

/** Returns the programs that receive packets to a port and an address of a link, bound to it or to all. */
export function receiversOf(
  owners: readonly PortOwner[],
  port: number,
  ip: string,
  link: string,
): PortOwner[] {
  return owners.filter(({ port: own, address }) => {
    const [bound = '', boundLink = link] = address.split('%');
    return own === port && boundLink === link && [ip, '0.0.0.0', '*', '[::]'].includes(bound);
  });
}
