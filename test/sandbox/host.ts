/** What a test does on a private host. It runs inside one: see enter.sh. */
export * from './leases.ts';
export * from './libvirtd.ts';
export * from './machine.ts';
export * from './namespaces.ts';
export * from './packets.ts';
export * from './virlan.ts';
