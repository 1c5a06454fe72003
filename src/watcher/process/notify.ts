// Notifications to systemd.
import { runOrNull } from '../../system/run.ts';

/**
 * Sends states of the service, such as `--ready`, to systemd (sd_notify(3)) if this process is a service.
 * systemd-notify sends them, because Node has no unix datagram sockets.
 */
export async function notifySystemd(...states: readonly string[]): Promise<void> {
  const socket = process.env.NOTIFY_SOCKET;
  if (socket === undefined) return;
  await runOrNull('env', [`NOTIFY_SOCKET=${socket}`, 'systemd-notify', `--pid=${process.pid}`, ...states]);
}

/**
 * Returns how often to report to systemd's watchdog, in milliseconds: twice in the time after which it
 * restarts the service. Null when it does not watch this process (sd_watchdog_enabled(3)).
 */
export function watchdogIntervalMs(environment: NodeJS.ProcessEnv): number | null {
  const { WATCHDOG_USEC, WATCHDOG_PID = String(process.pid) } = environment;
  const microseconds = Number(WATCHDOG_USEC);
  return microseconds > 0 && WATCHDOG_PID === String(process.pid) ? microseconds / 2000 : null;
}
