// The users that a dnsmasq may run as, by its configuration and /etc/passwd. Pure.

/**
 * Returns whether a user's number is that of the user dnsmasq or of the one that a dnsmasq.conf names
 * (`user=daemon`). Without either dnsmasq's source has nobody.
 */
export function isUserOfDnsmasq(uid: string, conf: string, passwd: string): boolean {
  const configured = /^\s*user\s*=\s*(\S+)/m.exec(conf)?.[1] ?? 'nobody';
  return passwd.split('\n').some(line => {
    const [user, , id] = line.split(':');
    return id === uid && (user === 'dnsmasq' || user === configured);
  });
}
