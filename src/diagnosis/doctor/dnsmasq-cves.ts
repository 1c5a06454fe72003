// Known vulnerabilities of dnsmasq, by version. Sources: its CHANGELOG, CERT VU#471747 and VU#434904.

/** The first version that has the fixes, with the CVEs. */
const fixes: readonly { readonly fixedIn: string; readonly cves: readonly string[] }[] = [
  {
    fixedIn: '2.92rel2',
    cves: [
      'CVE-2026-2291',
      'CVE-2026-4890',
      'CVE-2026-4891',
      'CVE-2026-4892',
      'CVE-2026-4893',
      'CVE-2026-5172',
    ],
  },
  { fixedIn: '2.90', cves: ['CVE-2023-50387', 'CVE-2023-50868'] },
  { fixedIn: '2.87', cves: ['CVE-2022-0934'] },
  { fixedIn: '2.83', cves: ['CVE-2020-25681', 'CVE-2020-25682', 'CVE-2020-25683', 'CVE-2020-25687'] },
  { fixedIn: '2.78', cves: ['CVE-2017-14491', 'CVE-2017-14492', 'CVE-2017-14493', 'CVE-2017-14496'] },
];

/** Reads the version, such as `2.92rel2`, from `dnsmasq --version`; null for another text. */
export function dnsmasqVersion(output: string): string | null {
  return /^Dnsmasq version (\d[\w.]*)/i.exec(output)?.[1] ?? null;
}

/** Returns the CVEs of a version, except those in its package's changelog: those fixes were backported. */
export function unpatchedCves(version: string, changelog: string): string[] {
  return fixes
    .filter(({ fixedIn }) => isOlder(version, fixedIn))
    .flatMap(({ cves }) => cves)
    .filter(cve => !changelog.includes(cve));
}

function isOlder(version: string, other: string): boolean {
  const [mine, theirs] = [numbersOf(version), numbersOf(other)];
  for (const [index, number] of theirs.entries()) {
    if ((mine[index] ?? 0) !== number) return (mine[index] ?? 0) < number;
  }
  return false;
}

/** `2.92rel2` → 2, 92, 2. */
function numbersOf(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
