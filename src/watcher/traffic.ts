// The kernel's counters of a bridge: /sys/class/net/k8s-br0/statistics/rx_bytes. Pure.
import type { System } from '../system/system.ts';

/** File of the kernel → the metric that has its value. */
export const trafficCounters = {
  rx_bytes: 'virlan_network_receive_bytes_total',
  rx_packets: 'virlan_network_receive_packets_total',
  rx_errors: 'virlan_network_receive_errors_total',
  rx_dropped: 'virlan_network_receive_dropped_total',
  tx_bytes: 'virlan_network_transmit_bytes_total',
  tx_packets: 'virlan_network_transmit_packets_total',
  tx_errors: 'virlan_network_transmit_errors_total',
  tx_dropped: 'virlan_network_transmit_dropped_total',
} as const;

export type TrafficCounter = keyof typeof trafficCounters;

export const trafficCounterNames = Object.keys(trafficCounters) as TrafficCounter[];

/** Returns the value of a counter; 0 where there is no such link. */
export function readTraffic(
  { readFile }: Pick<System, 'readFile'>,
  bridge: string,
  counter: TrafficCounter,
): number {
  return Number(readFile(`/sys/class/net/${bridge}/statistics/${counter}`) ?? 0);
}
