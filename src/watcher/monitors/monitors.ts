// Follows the programs that report changes of the kernel, of firewalld, systemd-resolved and NetworkManager.
import type { NetworkConfig } from '../../config/config.ts';
import { VirlanError } from '../../errors.ts';
import { filtersVlans } from '../../network/kernel/read-kernel.ts';
import type { Event } from '../../report/event.ts';
import { Follower } from '../../system/follow.ts';
import { system } from '../../system/system.ts';
import {
  isFloodChange,
  isRulesChange,
  isRulesOfWayChange,
  isWayChange,
  LinkChanges,
  LinkStates,
  PortChanges,
} from './monitor-lines.ts';

/** A monitor misses events until it has subscribed: scan once this long after starting it. */
const monitorStartupMs = 300;

const resolvedPaths = ['/usr/lib/systemd/systemd-resolved', '/lib/systemd/systemd-resolved'];

const busSocket = '/run/dbus/system_bus_socket';

/**
 * The D-Bus signals that matter: firewalld has read its configuration again; systemd-resolved was told something;
 * these, or NetworkManager, have come or gone.
 */
const firewalld = 'org.fedoraproject.FirewallD1';
const busMatches = [
  `type='signal',interface='${firewalld}',member='Reloaded'`,
  // Its own signal says that the settings of some link have changed.
  `type='signal',sender='org.freedesktop.resolve1',path='/org/freedesktop/resolve1',member='PropertiesChanged'`,
  ...[firewalld, 'org.freedesktop.resolve1', 'org.freedesktop.NetworkManager'].map(
    name => `type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${name}'`,
  ),
];

/**
 * Follows changes of rules, links, addresses, routes, forwarding and tunnels, of firewalld and of systemd-resolved;
 * each change that may concern a network calls `changed`, and one of a way that packets take calls `wayChanged`. A
 * program that is missing is reported and left out.
 */
export function followKernel(
  networks: () => readonly NetworkConfig[],
  changed: () => void,
  wayChanged: () => void,
  report: (event: Event) => void,
): Follower[] {
  const bridges = () => networks().map(({ bridge }) => bridge);
  const links = new LinkChanges();
  const isUp = (link: string) =>
    ['up', 'unknown'].includes(system.readFile(`/sys/class/net/${link}/operstate`)?.trim() ?? '');
  const linkStates = new LinkStates(system.listDirectory('/sys/class/net').filter(isUp));
  const ports = new PortChanges(
    port => Number(system.readFile(`/sys/class/net/${port}/brport/group_fwd_mask`)),
    filtersVlans,
  );
  const onLine = (isChange: (line: string) => boolean, isOfWay: (line: string) => boolean) => ({
    started: () => void setTimeout(changed, monitorStartupMs).unref(),
    line: (text: string) => {
      if (isChange(text)) changed();
      if (isOfWay(text)) wayChanged();
    },
    failed: (message: string) =>
      report({ kind: 'monitor-failed', error: new VirlanError('monitor-failed', message) }),
  });
  return [
    new Follower(['nft', 'monitor'], onLine(isRulesChange, isRulesOfWayChange)),
    new Follower(
      ['ip', '-o', 'monitor', 'link', 'address', 'route', 'netconf', 'rule'],
      onLine(
        line => links.isChange(line, bridges()),
        line => isWayChange(line) || linkStates.isChange(line, bridges()),
      ),
    ),
    new Follower(
      ['bridge', '-d', '-o', 'monitor', 'link'],
      onLine(
        line => ports.isChange(line, bridges()),
        () => false,
      ),
    ),
    new Follower(
      ['bridge', 'monitor', 'fdb'],
      onLine(isFloodChange, () => false),
      // A network that gets a tunnel later is followed at most a minute after that, and scanned until then.
      () => networks().some(({ tunnel }) => tunnel !== null),
    ),
    // Each object that it prints is one of these signals.
    new Follower(
      ['busctl', '--system', '--json=short', ...busMatches.map(match => `--match=${match}`), 'monitor'],
      // Its rules are reported by nft.
      onLine(
        line => line.startsWith('{'),
        () => false,
      ),
      () =>
        (['firewalld', 'NetworkManager'].some(system.isInstalled) || resolvedPaths.some(system.exists)) &&
        system.exists(busSocket),
    ),
  ];
}
