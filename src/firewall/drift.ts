// Compares listings of virlan's own rules: what others have changed in them. Pure.

/** A difference between virlan's rules in the kernel and those it loaded. */
export type RuleDrift =
  | { readonly kind: 'missing' | 'added'; readonly rule: string }
  /** The same rules in another order, or twice. */
  | { readonly kind: 'reordered' }
  /** A rule of others that virlan's come before, and must not. */
  | { readonly kind: 'overruled'; readonly rule: string };

/** Returns how a listing differs from the one right after loading. */
export function compareListings(before: readonly string[], now: readonly string[]): RuleDrift[] {
  const missing = before
    .filter(line => !now.includes(line))
    .map(line => ({ kind: 'missing', rule: line.trim() }) as const);
  const added = now
    .filter(line => !before.includes(line))
    .map(line => ({ kind: 'added', rule: line.trim() }) as const);
  const isReordered = missing.length + added.length === 0 && before.join('\n') !== now.join('\n');
  return isReordered ? [{ kind: 'reordered' }] : [...missing, ...added];
}
