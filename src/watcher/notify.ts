import { runOrNull } from '../system/run.ts';

/** Tells systemd that the service is ready, or what it does, where systemd wants to know (sd_notify(3)). Node has no datagram sockets of the unix family. */
export async function notifySystemd(...states: readonly string[]): Promise<void> {
  const socket = process.env.NOTIFY_SOCKET;
  if (socket === undefined) return;
  await runOrNull('env', [`NOTIFY_SOCKET=${socket}`, 'systemd-notify', `--pid=${process.pid}`, ...states]);
}

/**
 * How often systemd wants a sign of life, in milliseconds, or null when it wants none of this process
 * (sd_watchdog_enabled(3)): twice in the time after which it would restart the service.
 */
export function watchdogInterval(environment: NodeJS.ProcessEnv = process.env): number | null {
  const { WATCHDOG_USEC, WATCHDOG_PID = String(process.pid) } = environment;
  const microseconds = Number(WATCHDOG_USEC);
  return microseconds > 0 && WATCHDOG_PID === String(process.pid) ? microseconds / 2000 : null;
}
