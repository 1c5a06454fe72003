// The user that a dnsmasq runs as, by its configuration and /etc/passwd. Pure.

/**
 * Returns the user that a dnsmasq.conf names (`user=dnsmasq`), and the one of dnsmasq's source for none; null
 * where dnsmasq stays root.
 */
export function configuredUser(conf: string): string | null {
  const user = conf
    .split('\n')
    .findLast(line => /^\s*user\s*=/.test(line))
    ?.replace(/^[^=]*=/, '')
    .trim();
  return user === '' ? null : (user ?? 'nobody');
}

/** Returns a user's number by the text of /etc/passwd, such as `dnsmasq:x:112:65534:…`; null for none. */
export function userId(passwd: string, user: string): number | null {
  const [, , uid] =
    passwd
      .split('\n')
      .find(line => line.startsWith(`${user}:`))
      ?.split(':') ?? [];
  return uid === undefined || !/^\d+$/.test(uid) ? null : Number(uid);
}
