// Connects the networks of virlan.ini: each knows the others, and whether their machines reach each other.
import type { NetworkConfig, OtherNetwork } from './config.ts';
import type { Section } from './sections.ts';

/** A network as its own section describes it. */
export type OwnConfig = Omit<NetworkConfig, 'others' | 'hostForwards'>;

/** A network with the section that defines it. */
export interface NetworkSource {
  readonly config: OwnConfig;
  readonly section: Section;
  /** The networks that `reaches` names. */
  readonly reaches: readonly string[];
}

/** Returns the networks with what depends on the other ones. */
export function connectNetworks(sources: readonly NetworkSource[]): NetworkConfig[] {
  const hostForwards = sources.some(({ config }) => config.mode !== 'isolated');
  return sources.map(source => ({
    ...source.config,
    others: sources.filter(other => other !== source).map(other => otherNetwork(source, other)),
    hostForwards,
  }));
}

function otherNetwork(source: NetworkSource, other: NetworkSource): OtherNetwork {
  const { name, bridge, subnet, mode, tunnel } = other.config;
  const isReached = source.reaches.includes(name) || other.reaches.includes(source.config.name);
  return { name, bridge, subnet, mode, tunnel, isReached };
}
