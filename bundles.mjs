// bundles.mjs: which files virlan's program consists of. dist/bin/start.cjs is src/bin/start.ts with all that it imports.
import { readFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { build, transform } from 'esbuild';
import { fastExeca } from './build-execa.mjs';

const root = import.meta.dirname;

/** The sources that are started by name: install/virlan.in starts start.ts and virlan.ts, start.ts loads hook.ts. */
const programs = ['src/bin/start.ts', 'src/bin/virlan.ts', 'src/bin/hook.ts'];

/** References to a file of its own: loaded when the call is reached, or started as a program. */
const references = ['dynamic-import', 'require-resolve'];

/**
 * Bundles the programs, and every file that one of them names in `import('./file.ts')` or `require.resolve('./file.ts')`:
 * V8 does not even read a bundle that is not loaded. A bundle keeps the place of its source: src/a/b.ts is dist/a/b.cjs.
 * Returns `{ source, path, contents, metafile }` of each, paths relative to the checkout; writes nothing. Throws for a
 * reference to a file that does not exist.
 */
export async function bundleProgram(version) {
  const sources = new Set(programs);
  const bundles = [];
  // A Set also iterates over what is added meanwhile.
  for (const source of sources) bundles.push(await bundle(source, version, found => sources.add(found)));
  return bundles;
}

async function bundle(source, version, onReference) {
  const ownFiles = {
    name: 'own files',
    setup({ onResolve }) {
      onResolve({ filter: /^\./ }, ({ path, kind, resolveDir }) => {
        if (!references.includes(kind)) return undefined;
        const found = resolve(resolveDir, path);
        onReference(relative(root, found));
        const fromBundle = relative(dirname(resolve(root, source)), found);
        return { path: `${fromBundle.startsWith('.') ? '' : './'}${bundled(fromBundle)}`, external: true };
      });
    },
  };
  const { outputFiles, metafile } = await build({
    entryPoints: [source],
    outbase: 'src',
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    absWorkingDir: root,
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node20',
    // CommonJS starts 4 ms sooner than an ES module.
    format: 'cjs',
    // 20 kB less in the hook. With names and lines as they are, stack traces stay readable.
    minifySyntax: true,
    // As require(): Node's loader of ES modules alone takes 25 ms.
    supported: { 'dynamic-import': false },
    define: { VIRLAN_VERSION: JSON.stringify(version) },
    plugins: [fastExeca, smallPackages, withoutComments, ownFiles],
    logLevel: 'warning',
    metafile: true,
  });
  const path = bundled(relative('src', source).replace(/^/, 'dist/'));
  const [output, ...others] = outputFiles;
  if (output === undefined || others.length > 0 || relative(root, output.path) !== path)
    throw new Error(`${source}: expected ${path}, but esbuild made ${outputFiles.map(file => file.path)}`);
  return { source, path, contents: Buffer.from(output.text.replaceAll(pathComment, '')), metafile };
}

/** esbuild writes the path of each source above its code, in the hook 2 kB. */
const pathComment = /^\/\/ (?:src|node_modules)\/.*\n/gm;

/** Minifies packages that a machine's start loads: most of its code was theirs. */
const smallPackages = {
  name: 'small packages',
  setup({ onLoad }) {
    // Statements stay as they are, because those of which nothing is used are left out.
    onLoad({ filter: /node_modules\/valibot\/.*\.m?js$/ }, async ({ path }) => {
      const options = { minifyWhitespace: true, minifyIdentifiers: true };
      const { code } = await transform(await readFile(path, 'utf8'), options);
      return { contents: code };
    });
    // saxes takes one function of it, for XML 1.1, which libvirt neither reads nor writes.
    onLoad({ filter: /node_modules\/xmlchars\/xml\/1\.1\/ed2\.js$/ }, () => ({
      contents: "exports.isChar = require('../1.0/ed5.js').isChar;",
    }));
    onLoad({ filter: /node_modules\/(saxes|xmlchars|ipaddr\.js|ini)\/.*\.js$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, 'utf8'), { minify: true });
      return { contents: code };
    });
    // Statements stay as they are, as above. esbuild keeps the comments of a class.
    onLoad({ filter: /node_modules\/@noble\/hashes\/.*\.js$/ }, async ({ path }) => {
      const source = (await readFile(path, 'utf8')).replace(/^\s*\/\/.*$/gm, '');
      const { code } = await transform(source, { minifyIdentifiers: true });
      return { contents: code };
    });
    // valibot has a minified build, of which what is not used can still be left out.
    onLoad({ filter: /node_modules\/valibot\/.*\/index\.mjs$/ }, async ({ path }) => ({
      contents: await readFile(path.replace(/index\.mjs$/, 'index.min.mjs'), 'utf8'),
    }));
  },
};

/** Removes the comments of own sources: esbuild keeps those of methods. */
const withoutComments = {
  name: 'without comments',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
      const options = { loader: 'ts', target: 'node20', minifyWhitespace: true };
      const { code } = await transform(await readFile(path, 'utf8'), options);
      return { contents: code, resolveDir: dirname(path) };
    });
  },
};

/** Returns the name of a source's bundle. */
function bundled(path) {
  return path.replace(/\.ts$/, '.cjs');
}
