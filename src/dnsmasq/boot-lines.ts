// The lines of dnsmasq.conf for network boot and for DHCP options of virlan.ini.
import type { Mac } from '../address/mac.ts';
import type { BootUrl, DhcpOption, NetworkConfig } from '../config/config.ts';
import { sentFiles } from './tftp-limits.ts';

/** Returns the line for an option. */
export function optionLine({ option, values }: DhcpOption): string {
  const code = typeof option === 'number' ? option : `option:${option}`;
  return [`dhcp-option=${code}`, ...values].join(',');
}

/** The program that firmware without iPXE loads first, by its architecture (RFC 4578, section 2.1). */
const loaders = [
  { tag: 'bios', architectures: [0], file: 'undionly.kpxe' },
  { tag: 'efi-x64', architectures: [7, 9], file: 'ipxe.efi' },
  { tag: 'efi-arm64', architectures: [11], file: 'ipxe-arm64.efi' },
] as const;

/** A machine whose boot differs from that of its network. */
export interface MachineBoot {
  readonly macs: readonly Mac[];
  /** Is a label, and no other machine's. */
  readonly hostname: string;
  readonly boot: BootUrl;
}

/** The architectures of UEFI's HTTP boot, x64 and arm64. */
const httpArchitectures = [16, 19];

const ipxeMatch = ['# iPXE says so by option 175.', 'dhcp-match=set:ipxe,175'];

function matches(tag: string, architectures: readonly number[]): string[] {
  return architectures.map(each => `dhcp-match=set:${tag},option:client-arch,${each}`);
}

/** UEFI's HTTP boot wants a URL that it can load itself, and the vendor class back. */
const httpMatch = [
  ...matches('efi-http', httpArchitectures),
  'dhcp-option-force=tag:efi-http,option:vendor-class,HTTPClient',
];

/** Returns the lines that name a URL to firmware that can load it, with further conditions. */
function urlLines({ scheme, url }: BootUrl, tags = ''): string[] {
  return [
    `dhcp-boot=${tags}tag:ipxe,${url}`,
    ...(scheme === 'tftp' ? [] : [`dhcp-boot=${tags}tag:efi-http,tag:!ipxe,${url}`]),
  ];
}

/**
 * Returns the lines for the boot of single machines; of all lines that apply, dnsmasq takes the last one.
 *
 * They cannot be in a file that dnsmasq reads again on SIGHUP. Such a file (dhcp-optsfile) can hold the URL, but the
 * option needs a tag of the machine, and of what sets tags only reservations (dhcp-hostsfile, dhcp-hostsdir) are read
 * again. With a tag on a reservation, dnsmasq 2.90 aborts on the first SIGHUP after a client with it was served: it
 * links the tag with those of the packet, and frees them all with the reservation.
 */
export function machineBootLines(
  machines: readonly MachineBoot[],
  { boot }: Pick<NetworkConfig, 'boot'>,
): string[] {
  if (machines.length === 0) return [];
  const isMatched = boot?.kind === 'url';
  const needsHttp =
    machines.some(each => each.boot.scheme !== 'tftp') && !(isMatched && boot.scheme !== 'tftp');
  return [
    ...(isMatched ? [] : ipxeMatch),
    ...(needsHttp ? httpMatch : []),
    ...machines.flatMap(({ macs, hostname, boot: own }) => [
      ...macs.map(mac => `dhcp-mac=set:boot-${hostname},${mac}`),
      ...urlLines(own, `tag:boot-${hostname},`),
    ]),
  ];
}

/** Returns the lines for network boot. */
export function bootLines({ boot, tftp }: NetworkConfig): string[] {
  const served =
    tftp === null ? [] : ['enable-tftp', 'tftp-no-fail', `tftp-root=${tftp}`, `tftp-max=${sentFiles}`];
  if (boot === null) return served;
  if (boot.kind === 'file') return [...served, `dhcp-boot=${boot.file}`];
  return [
    ...served,
    ...ipxeMatch,
    ...(boot.scheme === 'tftp' ? [] : httpMatch),
    ...urlLines(boot),
    ...(tftp === null
      ? []
      : loaders.flatMap(({ tag, architectures, file }) => [
          ...matches(tag, architectures),
          `dhcp-boot=tag:${tag},tag:!ipxe,${file}`,
        ])),
  ];
}
