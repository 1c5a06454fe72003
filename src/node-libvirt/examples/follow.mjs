// follow.mjs: lists the domains of this host, then prints each event until it is interrupted.
import { LibvirtClient } from 'node-libvirt';

const client = new LibvirtClient();

// Called after each reconnection, too: libvirt does not keep events for a client that is not connected.
client.on('connected', async ({ drivers }) => {
  if (!drivers.includes('domain')) return;
  for (const { name, id } of await client.connectListAllDomains()) {
    console.log(`domain ${name} ${id === -1 ? 'does not run' : 'runs'}`);
  }
});

client.on('event', event => {
  switch (event.kind) {
    case 'domain-lifecycle':
      console.log(`domain ${event.domain.name}: ${event.event}, ${event.detail}`);
      break;
    case 'device-added':
    case 'device-removed':
      console.log(`domain ${event.domain.name}: ${event.kind} ${event.alias}`);
      break;
    case 'metadata-change':
      console.log(`domain ${event.domain.name}: metadata ${event.uri ?? 'title or description'}`);
      break;
    case 'network-lifecycle':
      console.log(`network ${event.network.name}: ${event.event}`);
      break;
  }
});

client.on('disconnected', ({ error, retryInMs }) => {
  console.error(`${error.message}; next attempt in ${retryInMs} ms`);
});
client.on('notice', notice => console.error(notice));

process.once('SIGINT', () => client.close());
client.start();
