/**
 * The `.macs` file of a bridge as libvirt's network driver writes it (src/util/virmacmap.c), which it does not do for a
 * pass-through: by it libnss_libvirt_guest finds the leases of a machine, whatever name the guest itself goes by. libvirt
 * wants each machine in it once.
 */
export function formatMacMap(macs: ReadonlyMap<string, readonly string[]>): string {
  const entries = [...macs].map(([domain, own]) => ({ domain, macs: own }));
  return `${JSON.stringify(entries, null, 2)}\n`;
}
