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
  /** Returns the command whose output says which links it manages. */
  show(bridge: string): readonly [program: string, ...args: string[]];
  isManaged(shown: string, bridge: string): boolean;
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
    show: bridge => ['nmcli', '--get-values', 'GENERAL.NM-MANAGED', 'device', 'show', bridge],
    isManaged: shown => shown === 'yes',
  },
  // systemd.network(5): of all files that match a link, the first in alphabetical order counts.
  'systemd-networkd': {
    programs: ['/usr/lib/systemd/systemd-networkd', '/lib/systemd/systemd-networkd'],
    // The package of systemd has it on hosts that have booted without systemd, too.
    needs: ['/run/systemd/system', '/run/systemd/netif'],
    path: bridge => `/run/systemd/network/00-virlan-${bridge}.network`,
    text: (_bridge, links) => `${heading}[Match]\nName=${links.join(' ')}\n\n[Link]\nUnmanaged=yes\n`,
    reload: ['networkctl', 'reload'],
    show: () => ['networkctl', '--json=short', 'list'],
    isManaged: (shown, bridge) => isConfigured(shown, bridge),
  },
};

/** Reads `{"Interfaces":[{"Name":"k8s-br0","AdministrativeState":"unmanaged",…},…],…}`. */
function isConfigured(shown: string, bridge: string): boolean {
  try {
    const { Interfaces: links } = JSON.parse(shown) as {
      Interfaces: { Name: string; AdministrativeState: string }[];
    };
    return links.some(
      ({ Name, AdministrativeState: state }) =>
        Name === bridge && ['configuring', 'configured'].includes(state),
    );
  } catch {
    // An earlier version prints a table.
    return false;
  }
}

export const linkManagerNames = Object.keys(linkManagers) as LinkManagerName[];

/** The host's end of the probe's veth, and the name of its namespace: diagnosis/probe/probe.ts. */
export const probeLink = 'virlan-probe';

/** libvirt's names of the taps of machines, unless their definitions have others. */
const taps = 'vnet*';

/** Returns the text of a manager's file about a network's links, of which `own` are virlan's besides the bridge. */
export function managerFile(manager: LinkManagerName, bridge: string, own: readonly string[]): string {
  return linkManagers[manager].text(bridge, [bridge, ...own, probeLink, taps]);
}

/** Returns the managers that are on a host. */
export function installedManagers(exists: (path: string) => boolean): LinkManagerName[] {
  return linkManagerNames.filter(name => {
    const { programs, needs } = linkManagers[name];
    return programs.some(exists) && (needs === null || needs.some(exists));
  });
}
