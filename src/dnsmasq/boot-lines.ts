// The lines of dnsmasq.conf for network boot and for DHCP options of virlan.ini.
import type { DhcpOption, NetworkConfig } from '../config/config.ts';

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

/** The architectures of UEFI's HTTP boot, x64 and arm64: clients want a URL, and the vendor class back. */
const httpArchitectures = [16, 19];

/** Returns the lines for network boot. */
export function bootLines({ boot, tftp }: NetworkConfig): string[] {
  const served = tftp === null ? [] : ['enable-tftp', 'tftp-no-fail', `tftp-root=${tftp}`];
  if (boot === null) return served;
  if (boot.kind === 'file') return [...served, `dhcp-boot=${boot.file}`];
  const matches = (tag: string, architectures: readonly number[]) =>
    architectures.map(each => `dhcp-match=set:${tag},option:client-arch,${each}`);
  return [
    ...served,
    '# iPXE says so by option 175.',
    'dhcp-match=set:ipxe,175',
    `dhcp-boot=tag:ipxe,${boot.url}`,
    ...(boot.scheme === 'tftp'
      ? []
      : [
          ...matches('efi-http', httpArchitectures),
          'dhcp-option-force=tag:efi-http,option:vendor-class,HTTPClient',
          `dhcp-boot=tag:efi-http,tag:!ipxe,${boot.url}`,
        ]),
    ...(tftp === null
      ? []
      : loaders.flatMap(({ tag, architectures, file }) => [
          ...matches(tag, architectures),
          `dhcp-boot=tag:${tag},tag:!ipxe,${file}`,
        ])),
  ];
}
