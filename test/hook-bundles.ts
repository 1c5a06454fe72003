// hook-bundles.ts: the sources of the bundles that the start of a machine loads.

/**
 * The bundles that `hook qemu … prepare` loads for a machine that has its reservation. A unit test limits their size, and a
 * sandbox test checks that no other bundle is loaded.
 */
export const hookSources = ['src/bin/start.ts', 'src/bin/hook.ts'];
