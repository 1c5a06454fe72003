// The name servers of the host, which dnsmasq reads from /etc/resolv.conf.
import { existsSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

const resolvConf = '/etc/resolv.conf';

/** The kernel follows as many links of a path (MAXSYMLINKS in linux/namei.h). */
const maxLinks = 40;

/**
 * Returns whether dnsmasq can watch /etc/resolv.conf: it does not start where the directory is missing that the file,
 * or the end of its symbolic links, is in (inotify.c of dnsmasq). The file itself may be missing.
 */
export function canWatchResolvConf(): boolean {
  let target = resolvConf;
  try {
    for (let links = 0; links < maxLinks; links += 1) target = resolve(dirname(target), readlinkSync(target));
    return false;
  } catch {
    // The end of the links: no link, or missing.
    return existsSync(dirname(target));
  }
}
