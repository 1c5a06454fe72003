// The metrics of `GET /metrics`, in the format of Prometheus: `virlan_machines{network="k8s-br0"} 3`.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { NetworkConfig } from '../config/config.ts';
import { isCurrent } from '../dnsmasq/leases.ts';
import { countInPool, poolOf, poolSize } from '../identity/pool.ts';
import { readLeases, readLedger } from '../identity/store.ts';
import type { Event } from '../report/event.ts';

/** The watcher's metrics. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #labels = { labelNames: ['network' as const], registers: [this.#registry] };
  readonly #machines = new Gauge({
    name: 'virlan_machines',
    help: 'NICs with an entry in the ledger',
    ...this.#labels,
  });
  readonly #leases = new Gauge({ name: 'virlan_leases', help: 'Leases at present', ...this.#labels });
  readonly #free = new Gauge({
    name: 'virlan_free_addresses',
    help: 'Addresses of the pool that are neither reserved nor leased',
    ...this.#labels,
  });
  readonly reservations = new Counter({
    name: 'virlan_reservations_total',
    help: 'Reservations made since the watcher started',
    registers: [this.#registry],
  });
  readonly repairs = new Counter({
    name: 'virlan_repairs_total',
    help: 'Repairs of the network since the watcher started',
    ...this.#labels,
  });
  readonly probes = new Counter({
    name: 'virlan_probes_total',
    help: 'Probes sent since the watcher started',
    ...this.#labels,
  });
  readonly hookSeconds = new Histogram({
    name: 'virlan_hook_seconds',
    help: 'Time that the watcher took for a hook',
    labelNames: ['hook'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
    registers: [this.#registry],
  });
  readonly libvirtConnected = new Gauge({
    name: 'virlan_libvirt_connected',
    help: '1 while libvirt is connected',
    registers: [this.#registry],
  });
  readonly lastReconcile = new Gauge({
    name: 'virlan_last_reconcile_timestamp_seconds',
    help: 'When all machines were last compared',
    registers: [this.#registry],
  });

  /** Counts an event. A repair that changed nothing is not one. */
  count(event: Event): void {
    if (event.kind === 'network-established' || event.kind === 'network-repaired')
      this.repairs.inc({ network: event.network });
    if (event.kind === 'reservation' && event.event.kind === 'reserved') this.reservations.inc();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Returns the metrics as text. Reads those of networks from their files. */
  render(networks: readonly NetworkConfig[]): Promise<string> {
    const entries = readLedger().present();
    const now = new Date();
    for (const network of networks) {
      const own = entries.filter(entry => entry.network === network.name);
      const labels = { network: network.name };
      this.#machines.set(labels, own.length);
      const leases = readLeases(network.bridge).filter(lease => isCurrent(lease, now));
      this.#leases.set(labels, leases.length);
      const held = [...own.map(({ ip }) => ip), ...leases.map(({ ip }) => ip)];
      this.#free.set(labels, poolSize(poolOf(network)) - countInPool(poolOf(network), held));
    }
    return this.#registry.metrics();
  }
}
