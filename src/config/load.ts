// Reads virlan.ini from disk.
import { messageOf } from '../errors.ts';
import { readClusterCopy } from '../records/cluster-copy.ts';
import { readBytesOrNull } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import type { Config, ConfigProblem } from './config.ts';
import { encodingProblem } from './encoding.ts';
import { InvalidConfig } from './invalid-config.ts';
import { parseConfig } from './parse.ts';

/** Reads the configuration. Only the default file may be missing. Throws InvalidConfig. */
export function loadConfig(path: string): Config {
  const result = parseConfig(readText(path));
  if (result.ok) return result.config.etcd?.namesPeers ? withPeers(result.config) : result.config;
  throw new InvalidConfig(path, result.problems);
}

/** Returns the configuration with the other hosts that etcd has, as this host last read them. */
function withPeers(config: Config): Config {
  const networks = config.networks.map(network => {
    const { tunnel, name } = network;
    return tunnel === null
      ? network
      : { ...network, tunnel: { ...tunnel, peers: readClusterCopy(name).hosts } };
  });
  return { ...config, networks };
}

function readText(path: string): string {
  const bytes = readOptional(path);
  if (bytes === null && path === paths.config) return '';
  const problem =
    bytes === null ? 'does not exist: name an existing file with --config' : encodingProblem(bytes, path);
  if (problem !== null) throw new InvalidConfig(path, [aboutFile(problem)]);
  return bytes?.toString('utf8') ?? '';
}

function readOptional(path: string): Buffer | null {
  try {
    return readBytesOrNull(path);
  } catch (error) {
    throw new InvalidConfig(path, [aboutFile(`cannot be read: ${messageOf(error)}`)], { cause: error });
  }
}

function aboutFile(message: string): ConfigProblem {
  return { line: 0, what: '', message };
}
