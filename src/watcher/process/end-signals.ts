// The signals that end the watcher.

/** Resolves when the process is asked to end. By default, other signals would end it, too, or open a debugger. */
export async function endRequested(): Promise<void> {
  // SIGUSR1 makes Node open a debugger for everybody.
  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});
  await new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
}
