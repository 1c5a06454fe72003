/** Who listens on a port: a line of ss(8). */
export interface Listener {
  readonly protocol: 'udp' | 'tcp';
  /** `0.0.0.0`, `*`, `[::]`, an address; with `%LINK` where it is bound to a link. */
  readonly address: string;
  readonly port: number;
  /** The program's name, which it chose itself; null where ss does not see it. */
  readonly program: string | null;
  readonly pid: number | null;
}

/** Reads `ss --no-header --listening --numeric --processes` of TCP and UDP. A line of any other form is passed over. */
export function parseListeners(text: string): Listener[] {
  return text.split('\n').flatMap(line => {
    const [protocol = '', , , , local = '', , ...users] = line.trim().split(/\s+/);
    const [, address = '', port = ''] = /^(.*):(\d+)$/.exec(local) ?? [];
    if ((protocol !== 'udp' && protocol !== 'tcp') || port === '') return [];
    const [, program = null, pid = null] = /\(\("(.*?)",pid=(\d+)/.exec(users.join(' ')) ?? [];
    return [{ protocol, address, port: Number(port), program, pid: pid === null ? null : Number(pid) }];
  });
}

/** Those that take what is sent to an address of a link: bound to it, or to all. */
export function takersOf(listeners: readonly Listener[], port: number, ip: string, link: string): Listener[] {
  return listeners.filter(({ port: own, address }) => {
    const [bound = '', on = link] = address.split('%');
    return own === port && on === link && [ip, '0.0.0.0', '*', '[::]'].includes(bound);
  });
}
