// build.mjs: writes the page for Cockpit into contrib/cockpit/dist, with the licences of the packages in it.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { build } from 'esbuild';
import { licencesOf } from '../../licences.mjs';

const page = import.meta.dirname;
const output = `${page}/dist`;

/** Drops the fonts and pictures of PatternFly: Cockpit has the fonts, and the page shows no picture. */
const withoutAssets = {
  name: 'without assets',
  setup({ onLoad }) {
    onLoad({ filter: /react-core\/dist\/styles\/base\.css$/ }, async ({ path }) => {
      const css = await readFile(path, 'utf8');
      const contents = css.replace(/@font-face\s*{[^}]*}/g, '').replace(/url\("?\.\/assets[^)]*\)/g, 'none');
      return { contents, loader: 'css' };
    });
  },
};

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });
const { metafile } = await build({
  entryPoints: [`${page}/src/main.tsx`],
  entryNames: 'index',
  outdir: output,
  absWorkingDir: page,
  bundle: true,
  minify: true,
  format: 'iife',
  platform: 'browser',
  // As old as Cockpit's own pages allow.
  target: ['chrome111', 'firefox113', 'safari16.4'],
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  external: ['../../static/*'],
  plugins: [withoutAssets],
  logLevel: 'warning',
  metafile: true,
});
for (const file of ['index.html', 'manifest.json']) copyFileSync(`${page}/${file}`, `${output}/${file}`);
writeFileSync(`${output}/licences`, licencesOf(Object.keys(metafile.inputs), page));
