// The signals that end the watcher.

/** Lives on after signals that would end the process by default. */
export function ignoreOtherSignals(): void {
  for (const signal of ['SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {});
}

/** Resolves when the process is asked to end. */
export async function endRequested(): Promise<void> {
  await new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
}
