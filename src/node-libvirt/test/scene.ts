// Tests with a connection to a scripted daemon.
import type { suite } from 'uvu';
import { Connection, type ConnectionOptions } from '../src/connection.ts';
import type { Notice } from '../src/notices.ts';
import { type Answer, type Answers, frame, keepaliveProgram, Peer, sampleUuid } from './peer.ts';

export const lifecycleEvent = 'REMOTE_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE';
export const ping = frame({ program: keepaliveProgram, procedure: 1, type: 2 });
export const pong = frame({ program: keepaliveProgram, procedure: 2, type: 2 });
export const silent: Answer = () => {};

const vm1 = { name: 'vm1', uuid: sampleUuid, id: -1 };

/** Calls procedure 14, which returns a machine's XML. */
export function xml(connection: Connection, name = 'vm1'): Promise<string> {
  return connection
    .call('REMOTE_PROC_DOMAIN_GET_XML_DESC', { dom: { ...vm1, name }, flags: 0 })
    .then(reply => reply.xml);
}

interface Scene {
  readonly peer: Peer;
  readonly connection: Connection;
  readonly notices: Notice[];
}

/** Returns a function that adds a test with a connection to a scripted daemon; the test opens it. */
export function scenesOf(test: ReturnType<typeof suite>) {
  return (
    name: string,
    answers: Answers,
    run: (scene: Scene) => Promise<void>,
    options: Partial<ConnectionOptions> = {},
  ): void => {
    test(`connection: ${name}`, async () => {
      const peer = await new Peer(answers).listen();
      const notices: Notice[] = [];
      const connection = new Connection({
        socket: peer.socket,
        uri: 'qemu:///system',
        handshakeTimeoutMs: 30_000,
        callTimeoutMs: 5_000,
        keepalive: { intervalMs: 60_000, count: 5 },
        notice: notice => notices.push(notice),
        ...options,
      });
      try {
        await run({ peer, connection, notices });
      } finally {
        connection.close();
        peer.close();
      }
    });
  };
}
