// A relay to libvirtd that hides some of its procedures and events.
import { connect, createServer, type Server } from 'node:net';
import { encodeFrame, FrameReader } from 'node-libvirt/frame';

/** REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY */
const registerEvent = 316;

/**
 * Listens on `socket` and relays to the libvirtd at `real`, as a libvirtd without some procedures and domain
 * events, given by their numbers: in calls of these it replaces the number by one that no libvirtd knows, so
 * that libvirtd itself returns the error.
 */
export function olderLibvirtd(
  real: string,
  socket: string,
  procedures: readonly number[],
  events: readonly number[],
): Server {
  const server = createServer(client => {
    const daemon = connect(real);
    const asked = new Map<number, number>();
    const fromClient = new FrameReader();
    const fromDaemon = new FrameReader();
    client.on('data', chunk =>
      fromClient.push(chunk, (header, payload) => {
        asked.set(header.serial, header.procedure);
        if (header.procedure === registerEvent && events.includes(payload.readInt32BE(0)))
          payload.writeInt32BE(9999, 0);
        const isUnknown = procedures.includes(header.procedure);
        daemon.write(
          encodeFrame(isUnknown ? { ...header, procedure: 9000 + header.procedure } : header, payload),
        );
      }),
    );
    daemon.on('data', chunk =>
      fromDaemon.push(chunk, (header, payload) => {
        const procedure = (header.type === 1 ? asked.get(header.serial) : undefined) ?? header.procedure;
        // libvirtd's error text must contain the client's number: ": 9350" becomes ":  350".
        const errorText = payload.indexOf(`: ${header.procedure}`);
        if (errorText > 0) payload.write(' ', errorText + 2);
        client.write(encodeFrame({ ...header, procedure }, payload));
      }),
    );
    client.on('close', () => daemon.destroy()).on('error', () => {});
    daemon.on('close', () => client.destroy()).on('error', () => {});
  });
  return server.listen(socket);
}
