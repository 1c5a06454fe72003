import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NetworkConfig } from '../config/config.ts';
import { readFileOrNull } from '../system/files.ts';
import { Follower } from '../system/follow.ts';
import { isInstalled } from '../system/run.ts';
import { isSignOfRules, SignsOfLinks } from './monitor-lines.ts';

/** How long a program takes at most to be all ears after its start, in milliseconds: then a look makes up for what it missed. */
const untilItHears = 300;

const busSocket = '/run/dbus/system_bus_socket';

/** The two signals of D-Bus that matter: firewalld read its configuration anew, or came or went. */
const firewalld = 'org.fedoraproject.FirewallD1';
const busMatches = [
  `type='signal',interface='${firewalld}',member='Reloaded'`,
  `type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${firewalld}'`,
];

/**
 * Follows what changes the networks of a host from outside: its rules, its links, addresses, routes and forwarding, and
 * firewalld. Each sign of a change calls `sign`. A host without one of the programs goes on without it.
 */
export function followKernel(
  networks: () => readonly NetworkConfig[],
  sign: () => void,
  log: Logger,
): Follower[] {
  const bridges = () => networks().map(({ bridge }) => bridge);
  const links = new SignsOfLinks();
  const hear = (isSign: (line: string) => boolean) => ({
    started: () => void setTimeout(sign, untilItHears).unref(),
    line: (text: string) => {
      if (isSign(text)) sign();
    },
    failed: (message: string) => log.warn(`changes from outside are seen late: ${message}`),
  });
  return [
    new Follower(['nft', 'monitor'], hear(isSignOfRules)),
    new Follower(
      ['ip', '-o', 'monitor', 'link', 'address', 'route', 'netconf'],
      hear(line => links.isSign(line, bridges())),
    ),
    // Whatever it prints is one of the two.
    new Follower(
      ['busctl', '--system', '--json=short', ...busMatches.map(match => `--match=${match}`), 'monitor'],
      hear(line => line.startsWith('{')),
      () => isInstalled('firewalld') && existsSync(busSocket),
    ),
  ];
}

/** Whether the kernel has rules by iptables' old interface (iptables-legacy), of whose changes nobody is told. */
export function hasSilentRules(): boolean {
  return (readFileOrNull('/proc/net/ip_tables_names') ?? '') !== '';
}
