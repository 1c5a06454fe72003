// hook-bundles.ts: what a machine's start waits for. A unit test limits its size, a sandbox test proves that it is all.

/** The sources of the bundles that `hook qemu … prepare` loads for a machine that has its reservation. */
export const hookSources = ['src/bin/start.ts', 'src/bin/hook.ts'];
