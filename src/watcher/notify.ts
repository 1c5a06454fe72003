import { ask } from '../host/run.ts';

/** Tells systemd that the service is ready, or what it does, where systemd wants to know (sd_notify(3)). Node has no datagram sockets of the unix family. */
export async function notifySystemd(...states: readonly string[]): Promise<void> {
  const socket = process.env.NOTIFY_SOCKET;
  if (socket === undefined) return;
  await ask('env', [`NOTIFY_SOCKET=${socket}`, 'systemd-notify', `--pid=${process.pid}`, ...states]);
}
