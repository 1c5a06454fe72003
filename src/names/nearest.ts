// Finds the name that was meant by a mistyped one. Pure.

/**
 * Returns what to do about an unknown name: `did you mean "web"? See "virlan status"`, or only where all names are
 * listed.
 */
export function adviceFor(typed: string, known: Iterable<string>, listing: string): string {
  const nearest = nearestName(typed, known);
  return nearest === null ? `see "${listing}"` : `did you mean ${JSON.stringify(nearest)}? See "${listing}"`;
}

/**
 * Returns the known name that differs least from one that was typed; null if even that differs in more than a
 * third of its letters.
 */
export function nearestName(typed: string, known: Iterable<string>): string | null {
  const limit = Math.ceil(typed.length / 3);
  let nearest: { readonly name: string; readonly distance: number } | null = null;
  for (const name of known) {
    if (Math.abs(name.length - typed.length) > limit) continue;
    const distance = editDistance(typed, name);
    if (distance <= limit && (nearest === null || distance < nearest.distance)) nearest = { name, distance };
  }
  return nearest?.name ?? null;
}

/**
 * Returns how many letters have to be inserted, removed, replaced or exchanged with the next one to make `b` of
 * `a`: the Damerau-Levenshtein distance in its restricted form. fastest-levenshtein counts an exchange, the most
 * frequent mistake, as two.
 */
function editDistance(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const exchanged = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(before, j - 2) + 1 : replaced;
      row.push(Math.min(at(last, j) + 1, at(row, j - 1) + 1, replaced, exchanged));
    }
    [before, last] = [last, row];
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
