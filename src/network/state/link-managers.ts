// Programs that manage the links of a host, and would take addresses and ports from virlan's: NetworkManager and
// systemd-networkd. A file for each network tells them to leave its links alone. It is below /run, and so is gone
// after a boot together with the links. Pure.

export type LinkManagerName = 'NetworkManager' | 'systemd-networkd';

interface LinkManager {
  /** Its program, at one of these paths. */
  readonly programs: readonly string[];
  /** It can run only where one of these exists; null for anywhere. */
  readonly needs: readonly string[] | null;
  /** Returns the path of the file about the links of a bridge. */
  path(bridge: string): string;
  text(bridge: string, links: readonly string[]): string;
  /** The command that makes it read its files again. */
  readonly reload: readonly [program: string, ...args: string[]];
  /** The command whose output says which links it manages. */
  readonly show: readonly [program: string, ...args: string[]];
  /** Reads that output. Returns the names of the links. */
  managed(shown: string): string[];
}

const heading = '# Written by virlan: these links are its own, and those of the machines.\n';

export const linkManagers: Readonly<Record<LinkManagerName, LinkManager>> = {
  // NetworkManager.conf(5): "interface-name:" matches a pattern, and "interface-name:=" a name.
  NetworkManager: {
    programs: ['/usr/sbin/NetworkManager', '/usr/bin/NetworkManager'],
    needs: null,
    path: bridge => `/run/NetworkManager/conf.d/90-virlan-${bridge}.conf`,
    // A list of the administrator's own in /etc replaces that of [keyfile], but no section for devices.
    text: (bridge, links) => {
      const matches = links.map(link => `interface-name:${link.includes('*') ? '' : '='}${link}`).join(';');
      const list = `[keyfile]\nunmanaged-devices+=${matches}\n`;
      return `${heading}${list}\n[device-virlan-${bridge}]\nmatch-device=${matches}\nmanaged=0\n`;
    },
    reload: ['nmcli', 'general', 'reload', 'conf'],
    show: ['nmcli', '--escape', 'no', '--get-values', 'GENERAL.DEVICE,GENERAL.NM-MANAGED', 'device', 'show'],
    managed: readManagedDevices,
  },
  // systemd.network(5): of all files that match a link, the first in alphabetical order counts.
  'systemd-networkd': {
    programs: ['/usr/lib/systemd/systemd-networkd', '/lib/systemd/systemd-networkd'],
    // The package of systemd has it on hosts that have booted without systemd, too.
    needs: ['/run/systemd/system', '/run/systemd/netif'],
    path: bridge => `/run/systemd/network/00-virlan-${bridge}.network`,
    text: (_bridge, links) => `${heading}[Match]\nName=${links.join(' ')}\n\n[Link]\nUnmanaged=yes\n`,
    reload: ['networkctl', 'reload'],
    show: ['networkctl', '--json=short', 'list'],
    managed: readConfiguredLinks,
  },
};

/** Reads a line for each value, with an empty line between devices. */
function readManagedDevices(shown: string): string[] {
  return shown.split('\n\n').flatMap(device => {
    const [name = '', isManaged] = device.split('\n');
    return isManaged === 'yes' ? [name] : [];
  });
}

/** Reads `{"Interfaces":[{"Name":"k8s-br0","AdministrativeState":"unmanaged",…},…],…}`. */
function readConfiguredLinks(shown: string): string[] {
  try {
    const { Interfaces: links } = JSON.parse(shown) as {
      Interfaces: { Name: string; AdministrativeState: string }[];
    };
    return links.flatMap(({ Name, AdministrativeState: state }) =>
      ['configuring', 'configured'].includes(state) ? [Name] : [],
    );
  } catch {
    // An earlier version prints a table.
    return [];
  }
}

export const linkManagerNames = Object.keys(linkManagers) as LinkManagerName[];

/** The host's end of the probe's veth, and the name of its namespace: diagnosis/probe/probe.ts. */
export const probeLink = 'virlan-probe';

/** libvirt's names of the taps of machines, unless their definitions have others. */
const libvirtTaps = { prefix: 'vnet', pattern: 'vnet*' };

/** Names that both programs read as they are, and in which nothing is a pattern, a separator or an escape. */
const plainName = /^[\w.@+-]+$/;

/**
 * Returns the text of a manager's file about a network's links, of which `own` are virlan's besides the bridge, and
 * `taps` those of running machines, whose names are hostile: an odd one is left out, and the doctor looks at its link.
 */
export function managerFile(
  manager: LinkManagerName,
  bridge: string,
  own: readonly string[],
  taps: readonly string[],
): string {
  const { prefix, pattern } = libvirtTaps;
  const named = taps.filter(tap => plainName.test(tap) && !tap.startsWith(prefix));
  // In their own order, so that the file, which its manager has to read again, changes only with the names.
  const sorted = [...new Set(named)].sort();
  return linkManagers[manager].text(bridge, [bridge, ...own, probeLink, pattern, ...sorted]);
}

/** Returns the managers that are on a host. */
export function installedManagers(exists: (path: string) => boolean): LinkManagerName[] {
  return linkManagerNames.filter(name => {
    const { programs, needs } = linkManagers[name];
    return programs.some(exists) && (needs === null || needs.some(exists));
  });
}
