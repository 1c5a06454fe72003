// import-graph.ts: reads the imports of src/ from the sources, because bundles contain no type imports.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One import; `to` is a path as `src/address/ip.ts`, or a package as `node:fs` or `valibot`. */
export interface Import {
  readonly kind: 'value' | 'type';
  readonly from: string;
  readonly to: string;
}

/** The names between `import` or `export` and `from`: `{ a, type B }`, `* as a`, `a`, `a, { b }`. */
const names = String.raw`(?:\w+(?:,\s*)?)?(?:\{[^}]*\}|\*(?:\s+as\s+\w+)?)?`;

const patterns = [
  String.raw`^(?:import|export)\s+(?<type>type\s+)?${names}\s*from\s+'(?<a>[^']+)'`,
  String.raw`^import\s+'(?<b>[^']+)'`,
  String.raw`\b(?:import|getBuiltinModule)\('(?<c>[^']+)'\)`,
];

/** Returns the sources of src/, without tests and declarations, as `src/address/ip.ts`. */
export function readSources(): string[] {
  return readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts') && !/\.(test|d)\.ts$|(^|\/)(node_modules|dist|test)\//.test(path))
    .map(path => `src/${path}`)
    .sort();
}

/**
 * Returns the imports of these sources. An import counts as a value import unless the whole statement is
 * `import type` or `export type`: `import { type A } from` loads the file. Throws for an import of a file
 * that is not a source.
 */
export function readImports(sources: readonly string[]): Import[] {
  return sources.flatMap(from => importsOf(from, readFileSync(from, 'utf8'), new Set(sources)));
}

function importsOf(from: string, text: string, sources: ReadonlySet<string>): Import[] {
  return [...text.matchAll(new RegExp(patterns.join('|'), 'gm'))].map(({ groups = {} }) => {
    const to = resolve(from, groups.a ?? groups.b ?? groups.c ?? '');
    if (to.startsWith('src/') && !sources.has(to))
      throw new Error(`${from} imports ${to}, which does not exist`);
    return { kind: groups.type === undefined ? 'value' : 'type', from, to };
  });
}

/**
 * Returns the source that an import names, or the package. node-libvirt is a package that is developed in
 * src/.
 */
function resolve(from: string, path: string): string {
  const own = /^node-libvirt(?:\/(?<file>\w+))?$/.exec(path);
  if (own !== null) return `src/node-libvirt/src/${own.groups?.file ?? 'index'}.ts`;
  return path.startsWith('.') ? join(from, '..', path) : path;
}

/**
 * Returns one import for each step of a cycle between the units that `unitOf` makes of sources, beginning and
 * ending at the same unit; null if there is no cycle.
 */
export function findCycle(
  imports: readonly Import[],
  unitOf: (source: string) => string,
): readonly Import[] | null {
  const steps = imports.filter(({ to }) => to.startsWith('src/'));
  const between = steps.filter(({ from, to }) => unitOf(from) !== unitOf(to));
  const finished = new Set<string>();
  for (const { from } of between) {
    const found = visit(unitOf(from), []);
    if (found !== null) return found;
  }
  return null;

  function visit(unit: string, path: readonly Import[]): readonly Import[] | null {
    const start = path.findIndex(({ from }) => unitOf(from) === unit);
    if (start >= 0) return path.slice(start);
    if (finished.has(unit)) return null;
    for (const step of between.filter(({ from }) => unitOf(from) === unit)) {
      const found = visit(unitOf(step.to), [...path, step]);
      if (found !== null) return found;
    }
    finished.add(unit);
    return null;
  }
}

/**
 * Returns the sources that load a package which `isEffect` names, by themselves or through others; types load
 * nothing.
 */
export function effectful(imports: readonly Import[], isEffect: (name: string) => boolean): Set<string> {
  const values = imports.filter(({ kind }) => kind === 'value');
  const found = new Set(
    values.filter(({ to }) => !to.startsWith('src/') && isEffect(to)).map(({ from }) => from),
  );
  // A Set also iterates over what is added meanwhile.
  for (const source of found) {
    for (const { from, to } of values) if (to === source) found.add(from);
  }
  return found;
}
