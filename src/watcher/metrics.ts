// The metrics of `GET /metrics`, in the format of Prometheus: `virlan_machines{network="k8s-br0"} 3`. All series
// exist from the start, because an alert on a series that does not exist is never raised.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { parseIpv4 } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { readLeasesTextOrNone } from '../dnsmasq/lease-file.ts';
import { isCurrent, parseLeases } from '../dnsmasq/leases.ts';
import { countInPool, poolOf, poolSize } from '../identity/pool.ts';
import { hookNames } from '../libvirt/hook-names.ts';
import type { Event } from '../report/event.ts';
import { faultCodes } from '../report/fault-codes.ts';
import type { Fault, NetworkStatus, Status } from '../report/status.ts';
import type { PeerStatus } from '../report/tunnel-fields.ts';
import { system } from '../system/system.ts';
import { readTraffic, trafficCounterNames, trafficCounters } from './traffic.ts';

/** Codes of problems that mean that the host differs from the configuration. */
const driftCodes: readonly Fault['code'][] = ['drift', 'not-established'];

/** The metrics of one host. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #machines = this.#perNetwork('virlan_machines', 'NICs with an entry in the ledger');
  readonly #running = this.#perNetwork('virlan_running_machines', 'NICs of machines that run');
  readonly #leases = this.#perNetwork('virlan_leases', 'Leases at present');
  readonly #free = this.#perNetwork(
    'virlan_free_addresses',
    'Addresses of the pool that are neither reserved nor leased; with etcd those that this host may give',
  );
  readonly #up = this.#perNetwork('virlan_network_up', '1 while the bridge is up and dnsmasq runs');
  readonly #drift = this.#perNetwork(
    'virlan_network_drift',
    '1 while the host differs from virlan.ini, and virlan has not repaired it',
  );
  readonly #problems = new Gauge({
    name: 'virlan_network_problems',
    help: 'Problems that virlan status lists; those of the host are counted at the first network',
    labelNames: ['network', 'code'],
    registers: [this.#registry],
  });
  readonly #forwards = new Gauge({
    name: 'virlan_forwards',
    help: 'Port forwards that machines ask for',
    labelNames: ['network', 'state'],
    registers: [this.#registry],
  });
  readonly #probeSuccess = this.#perNetwork(
    'virlan_probe_success',
    '1 if the last probe passed, 0 if it failed, NaN if none was sent',
  );
  readonly #probeTime = this.#perNetwork(
    'virlan_probe_timestamp_seconds',
    'When the last probe ended; 0 before the first',
  );
  readonly #peerUp = this.#perPeer(
    'virlan_peer_up',
    '1 if another host of the cluster answers packets of full size, 0 if not, NaN if that is not known',
  );
  readonly #peerChange = this.#perPeer(
    'virlan_peer_change_timestamp_seconds',
    'When it began to answer, or ceased to; 0 before it is asked',
  );
  readonly #peerListed = this.#perPeer(
    'virlan_peer_listed',
    '1 while the tunnel has the entry of this host in the kernel, by which broadcasts reach it',
  );
  readonly #peerMacs = this.#perPeer(
    'virlan_peer_macs',
    'MACs from which frames came through the tunnel from this host within the last minutes',
  );
  readonly #bgpUp = this.#perPeer(
    'virlan_bgp_session_up',
    '1 while the session of BGP with a neighbour is established',
  );
  readonly #bgpRoutes = this.#perPeer('virlan_bgp_routes', 'Routes that have come from a neighbour in BGP');
  readonly #etcdUp = this.#perNetwork(
    'virlan_etcd_up',
    '1 while this host shares its ledger by etcd, 0 while etcd is away; absent where it is not shared',
  );
  readonly #elsewhere = this.#perNetwork(
    'virlan_machines_elsewhere',
    'NICs of machines of other hosts of the cluster; absent where the ledger is not shared',
  );
  readonly #traffic = trafficCounterNames.map(
    counter =>
      [
        counter,
        new Counter({
          name: trafficCounters[counter],
          help: `Counter ${counter} of the bridge: traffic between machines and the host or the outside`,
          labelNames: ['network'],
          registers: [this.#registry],
        }),
      ] as const,
  );
  readonly #watcherRunning = new Gauge({
    name: 'virlan_watcher_running',
    help: '1 while virlan watch runs',
    registers: [this.#registry],
  });
  readonly #libvirtConnected = new Gauge({
    name: 'virlan_libvirt_connected',
    help: '1 while the watcher is connected to libvirt',
    registers: [this.#registry],
  });
  readonly #build = new Gauge({
    name: 'virlan_build_info',
    help: 'The version of virlan, as a label; the value is 1',
    labelNames: ['version'],
    registers: [this.#registry],
  });
  readonly reservations = new Counter({
    name: 'virlan_reservations_total',
    help: 'Reservations made since the watcher started',
    registers: [this.#registry],
  });
  readonly repairs = new Counter({
    name: 'virlan_repairs_total',
    help: 'Repairs of the network since the watcher started',
    labelNames: ['network'],
    registers: [this.#registry],
  });
  readonly probes = new Counter({
    name: 'virlan_probes_total',
    help: 'Probes sent since the watcher started',
    labelNames: ['network'],
    registers: [this.#registry],
  });
  readonly hookSeconds = new Histogram({
    name: 'virlan_hook_seconds',
    help: 'Time that the watcher took for a hook',
    labelNames: ['hook'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
    registers: [this.#registry],
  });
  readonly lastReconcile = new Gauge({
    name: 'virlan_last_reconcile_timestamp_seconds',
    help: 'When all machines were last compared; 0 before the first time',
    registers: [this.#registry],
  });

  constructor() {
    for (const hook of hookNames) this.hookSeconds.zero({ hook });
  }

  /** Counts an event. A repair that changed nothing is not one. */
  count(event: Event): void {
    if (event.kind === 'network-established' || event.kind === 'network-repaired')
      this.repairs.inc({ network: event.network });
    if (event.kind === 'reservation' && event.event.kind === 'reserved') this.reservations.inc();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Returns the metrics as text: the counters of this process, the status, and what the kernel counts. */
  render(networks: readonly NetworkConfig[], { virlan, watcher, ...status }: Status): Promise<string> {
    this.#build.set({ version: virlan }, 1);
    this.#watcherRunning.set(watcher.running ? 1 : 0);
    this.#libvirtConnected.set(watcher.libvirt === 'connected' ? 1 : 0);
    for (const metric of this.#ofNetworks()) metric.reset();
    for (const network of networks) {
      const found = status.networks.find(({ name }) => name === network.name);
      if (found !== undefined) this.#setNetwork(network, found);
    }
    return this.#registry.metrics();
  }

  #setNetwork(network: NetworkConfig, { up, faults, machines, probe, tunnel, shared }: NetworkStatus): void {
    const labels = { network: network.name };
    const reserved = machines.filter(({ hostname }) => hostname !== null);
    this.#machines.set(labels, reserved.length);
    this.#running.set(labels, machines.filter(({ state }) => state === 'running').length);
    const now = new Date();
    const leases = parseLeases(readLeasesTextOrNone(network.bridge)).filter(lease => isCurrent(lease, now));
    this.#leases.set(labels, leases.length);
    const held = [
      ...reserved.map(({ ip }) => (ip === null ? null : parseIpv4(ip))),
      ...leases.map(({ ip }) => ip),
    ];
    const free = poolSize(poolOf(network)) - countInPool(poolOf(network), held);
    this.#free.set(labels, shared?.freeAddresses ?? free);
    if (shared !== null) {
      this.#etcdUp.set(labels, shared.etcd?.connected === true ? 1 : 0);
      this.#elsewhere.set(labels, shared.machines.length);
    }
    this.#up.set(labels, up ? 1 : 0);
    this.#drift.set(labels, faults.some(({ code }) => driftCodes.includes(code)) ? 1 : 0);
    for (const code of faultCodes)
      this.#problems.set({ ...labels, code }, faults.filter(fault => fault.code === code).length);
    const forwards = machines.flatMap(machine => machine.forwards);
    const active = forwards.filter(forward => forward.active).length;
    this.#forwards.set({ ...labels, state: 'active' }, active);
    this.#forwards.set({ ...labels, state: 'inactive' }, forwards.length - active);
    this.#probeSuccess.set(labels, probe?.passed == null ? Number.NaN : probe.passed ? 1 : 0);
    this.#probeTime.set(labels, probe === null ? 0 : Date.parse(probe.at) / 1000);
    for (const peer of tunnel?.peers ?? []) this.#setPeer(network.name, peer);
    for (const { address, session, routes } of tunnel?.bgp?.neighbours ?? []) {
      this.#bgpUp.set({ ...labels, peer: address }, Number(session === 'established'));
      this.#bgpRoutes.set({ ...labels, peer: address }, routes);
    }
    for (const [counter, metric] of this.#traffic)
      metric.inc(labels, readTraffic(system, network.bridge, counter));
    for (const counter of [this.repairs, this.probes]) counter.inc(labels, 0);
  }

  #setPeer(network: string, { address, listed, macs, answer, since }: PeerStatus): void {
    const labels = { network, peer: address };
    const isKnown = answer !== null && answer !== 'unknown';
    this.#peerUp.set(labels, isKnown ? Number(answer === 'answers') : Number.NaN);
    this.#peerChange.set(labels, since === null ? 0 : Date.parse(since) / 1000);
    this.#peerListed.set(labels, listed ? 1 : 0);
    this.#peerMacs.set(labels, macs);
  }

  /** Returns the metrics that are read anew for each answer. */
  #ofNetworks() {
    const gauges = [this.#machines, this.#running, this.#leases, this.#free, this.#up, this.#drift];
    const ofProbes = [this.#probeSuccess, this.#probeTime];
    const more = [this.#problems, this.#forwards, ...ofProbes, this.#etcdUp, this.#elsewhere];
    const ofPeers = [
      this.#bgpUp,
      this.#bgpRoutes,
      this.#peerUp,
      this.#peerChange,
      this.#peerListed,
      this.#peerMacs,
    ];
    return [...gauges, ...more, ...ofPeers, ...this.#traffic.map(([, metric]) => metric)];
  }

  #perNetwork(name: string, help: string) {
    return new Gauge({ name, help, labelNames: ['network'], registers: [this.#registry] });
  }

  #perPeer(name: string, help: string) {
    return new Gauge({ name, help, labelNames: ['network', 'peer'], registers: [this.#registry] });
  }
}
