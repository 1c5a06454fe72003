/** Holes of dnsmasq, and the version that has none of them any more: the project's CHANGELOG, CERT VU#471747 and VU#434904. */
const holes: readonly { readonly fixedIn: string; readonly names: readonly string[] }[] = [
  {
    fixedIn: '2.92rel2',
    names: [
      'CVE-2026-2291',
      'CVE-2026-4890',
      'CVE-2026-4891',
      'CVE-2026-4892',
      'CVE-2026-4893',
      'CVE-2026-5172',
    ],
  },
  { fixedIn: '2.90', names: ['CVE-2023-50387', 'CVE-2023-50868'] },
  { fixedIn: '2.87', names: ['CVE-2022-0934'] },
  { fixedIn: '2.83', names: ['CVE-2020-25681', 'CVE-2020-25682', 'CVE-2020-25683', 'CVE-2020-25687'] },
  { fixedIn: '2.78', names: ['CVE-2017-14491', 'CVE-2017-14492', 'CVE-2017-14493', 'CVE-2017-14496'] },
];

/** The version in `dnsmasq --version`; null when it says none. */
export function dnsmasqVersion(said: string): string | null {
  return /^Dnsmasq version (\d[\w.]*)/i.exec(said)?.[1] ?? null;
}

/** Holes that a version has, but for those that its package's changelog says are mended: distributions backport. */
export function openHoles(version: string, changelog: string): string[] {
  return holes
    .filter(({ fixedIn }) => isOlder(version, fixedIn))
    .flatMap(({ names }) => names)
    .filter(name => !changelog.includes(name));
}

function isOlder(version: string, other: string): boolean {
  const [mine, theirs] = [numbersOf(version), numbersOf(other)];
  for (const [place, number] of theirs.entries()) {
    if ((mine[place] ?? 0) !== number) return (mine[place] ?? 0) < number;
  }
  return false;
}

/** `2.92rel2` → 2, 92, 2. */
function numbersOf(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
