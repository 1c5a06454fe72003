// Names of links that can stand in rules and files of other programs.

/**
 * Returns whether the kernel accepts a name of a link, and nft, iptables and dnsmasq read it without quotes.
 * The kernel's dev_valid_name() refuses 16 bytes and more, "/", ":", white space, "." and ".."; its
 * sysctl_dev_name_is_allowed() refuses "all" and "default".
 */
export function isLinkName(text: string): boolean {
  return /^[A-Za-z0-9_.-]{1,15}$/.test(text) && !/^(\.+|-.*|all|default)$/.test(text);
}
