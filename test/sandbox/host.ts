// The helpers that most tests use inside a private host (see enter.sh).
export * from './leases.ts';
export * from './libvirtd.ts';
export * from './machine.ts';
export * from './namespaces.ts';
export * from './packets.ts';
export * from './virlan.ts';
