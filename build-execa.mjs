// build-execa.mjs: an esbuild plugin that leaves out what execa does when it is loaded and virlan does not use. It saves
// 9 of 20 ms, and libvirt waits for them when a machine starts.
import { readFileSync } from 'node:fs';

const replacements = [
  {
    // English descriptions of all signals: 3 ms.
    name: 'human-signals',
    filter: /^human-signals$/,
    contents: `
      import { constants } from 'node:os';
      const names = Object.keys(constants.signals);
      export const signalsByName = Object.fromEntries(names.map(name => [name, { description: name }]));`,
  },
  {
    // Opens stdin, stdout and stderr of this process: 4 ms. virlan passes none of them to a program as a stream.
    name: 'standard-stream',
    filter: /\/standard-stream\.js$/,
    contents: `
      export const STANDARD_STREAMS = [];
      export const STANDARD_STREAMS_ALIASES = ['stdin', 'stdout', 'stderr'];
      export const isStandardStream = () => false;
      export const getStreamName = fdNumber => STANDARD_STREAMS_ALIASES[fdNumber] ?? \`stdio[\${fdNumber}]\`;`,
  },
  {
    // Characters and colours of the option \`verbose\`, which virlan does not use.
    name: 'figures',
    filter: /^figures$/,
    contents: 'export default {};',
  },
  {
    name: 'yoctocolors',
    filter: /^yoctocolors$/,
    contents: `
      const plain = text => text;
      export { plain as bold, plain as dim, plain as gray, plain as red, plain as redBright, plain as yellowBright };`,
  },
  {
    // Changes commands on Windows alone.
    name: 'cross-spawn',
    filter: /^cross-spawn$/,
    contents: 'export default { _parse: (command, args, options) => ({ command, args, options }) };',
  },
];

/** Fails a build in which execa no longer imports what is replaced. */
export const fastExeca = {
  name: 'fast execa',
  setup({ onResolve, onLoad, onEnd }) {
    const expected = new Set();
    const replaced = new Set();
    onResolve({ filter: /^execa$/ }, () => {
      for (const { name } of replacements) expected.add(name);
    });
    for (const { name, filter, contents } of replacements) {
      onResolve({ filter }, ({ importer }) => {
        if (!importer.includes('/node_modules/execa/')) return undefined;
        replaced.add(name);
        return { path: name, namespace: 'fast-execa' };
      });
      onLoad({ filter: new RegExp(`^${name}$`), namespace: 'fast-execa' }, () => ({
        contents,
        loader: 'js',
      }));
    }
    // esbuild copies all properties of `process` for each of 9 imports: 2 ms.
    onLoad({ filter: /\/node_modules\/execa\/lib\/.*\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8').replace(/^import process from 'node:process';$/m, '');
      return { contents, loader: 'js' };
    });
    onEnd(() => {
      const missing = [...expected].filter(name => !replaced.has(name));
      if (missing.length > 0) throw new Error(`execa does not import ${missing}: see build-execa.mjs`);
    });
  },
};
