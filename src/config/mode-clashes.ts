// Problems between the mode of a network and its other settings, and with the networks that it reaches.
import { excerpt } from '../text.ts';
import type { ConfigProblem, NetworkConfig } from './config.ts';
import type { NetworkSource } from './connect.ts';
import { maxExcerptLength } from './sections.ts';

/** Keys without effect in a mode: a network must not seem to have what it has not. */
const uselessKeys: Readonly<Record<NetworkConfig['mode'], { keys: readonly string[]; reason: string }>> = {
  nat: { keys: [], reason: '' },
  routed: { keys: [], reason: '' },
  isolated: {
    keys: ['outside', 'uplink', 'reaches', 'dns'],
    reason: 'which reaches this host only',
  },
  open: {
    keys: ['outside', 'uplink', 'reaches', 'host-access', 'host-allow', 'host-firewall'],
    reason: 'which has no rules',
  },
};

/** Returns the problems of all networks with their modes, their uplinks and the networks that they reach. */
export function modeClashes(networks: readonly NetworkSource[]): ConfigProblem[] {
  return networks.flatMap(network => [
    ...uselessKeyClashes(network),
    ...uplinkClashes(network, networks),
    ...reachClashes(network, networks),
  ]);
}

function uselessKeyClashes({ config: { mode }, section }: NetworkSource): ConfigProblem[] {
  const { keys, reason } = uselessKeys[mode];
  return keys.flatMap(key => {
    const entry = section.entries.get(key);
    if (entry === undefined) return [];
    const message = `has no effect with mode = ${mode}, ${reason}: remove it, or choose another mode`;
    return [{ line: entry.line, what: settingText(key, entry.value), message }];
  });
}

function uplinkClashes({ config, section }: NetworkSource, all: readonly NetworkSource[]): ConfigProblem[] {
  const { uplink } = config;
  const entry = section.entries.get('uplink');
  if (uplink === null || entry === undefined) return [];
  const at = { line: entry.line, what: `uplink = ${uplink}` };
  const owner = all.find(other => other.config.bridge === uplink);
  if (owner !== undefined) {
    const remedy =
      owner.config === config ? 'name a link to the outside' : 'use reaches = to reach a network';
    return [{ ...at, message: `is the bridge of [network.${owner.config.name}]: ${remedy}` }];
  }
  const outside = section.entries.get('outside');
  if (outside === undefined || config.outside === 'uplink') return [];
  const message = `contradicts uplink = ${uplink}, which is the only way to the outside: remove one of them`;
  return [{ line: outside.line, what: 'outside = all', message }];
}

function reachClashes(network: NetworkSource, all: readonly NetworkSource[]): ConfigProblem[] {
  const entry = network.section.entries.get('reaches');
  if (entry === undefined) return [];
  const at = { line: entry.line, what: settingText('reaches', entry.value) };
  return network.reaches.flatMap(name => {
    const other = all.find(each => each.config.name === name);
    if (other === undefined) {
      const message = `there is no [network.${excerpt(name, maxExcerptLength)}]: write the NAME of another network`;
      return [{ ...at, message }];
    }
    if (other === network) return [{ ...at, message: 'names this network itself: name another one' }];
    const { mode } = other.config;
    if (mode === 'nat' || mode === 'routed') return [];
    const message = `[network.${name}] has mode = ${mode}, in which no other network is reached: change one of them`;
    return [{ ...at, message }];
  });
}

function settingText(key: string, value: string): string {
  return excerpt(`${key} = ${value}`, maxExcerptLength);
}
