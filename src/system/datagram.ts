// Sends UDP datagrams.
import { createSocket } from 'node:dgram';

/** Sends a UDP datagram over IPv4. A failure is ignored: the sender finds out by the missing effect. */
export async function sendDatagram(message: Uint8Array, port: number, address: string): Promise<void> {
  const socket = createSocket('udp4');
  try {
    await new Promise<void>(resolve => {
      // Where the socket cannot be bound, for example without a free descriptor, the callback of `send` is never
      // called.
      socket.once('error', () => resolve());
      socket.send(message, port, address, () => resolve());
    });
  } finally {
    socket.close();
  }
}
