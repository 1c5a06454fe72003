// Reads the doctor's facts about the ways to a machine: its forwards, and its name on the host.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { formatIp, prefixContains } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { conntrackProgram } from '../../firewall/udp-flows.ts';
import type { Claim } from '../../forwards/choose.ts';
import { loopback } from '../../forwards/listeners.ts';
import { readForwards } from '../../forwards/read.ts';
import type { LinksAndRoutes } from '../../network/kernel/links.ts';
import { readLinksAndRoutes } from '../../network/kernel/read-kernel.ts';
import { linkSysctl, readSysctls } from '../../network/kernel/sysctl.ts';
import { countReversePathDrops } from '../../network/routes/reverse-path.ts';
import { defaultLinks } from '../../network/routes/route-links.ts';
import { surveyHostNames, surveyOtherFirewalls } from '../../network/survey-other-programs.ts';
import type { HostRules } from '../../other-firewalls/base-chains.ts';
import { findForwardRules } from '../../other-firewalls/forward-rules.ts';
import type { Chain } from '../../other-firewalls/model.ts';
import { listDirectory, readFileOrNull } from '../../system/files.ts';
import { runOrNull } from '../../system/run.ts';
import { system } from '../../system/system.ts';
import { type Answer, type ForwardsFacts, type HostNameFacts, noForwards } from './facts.ts';

/** Longest wait for a machine that accepts a connection. */
const connectTimeoutMs = 1000;

/** Most forwards that are tried. */
const maxTried = 20;

/** Reads the facts about the forwards of a running machine. */
export async function readForwardsFacts(
  uuid: string,
  networks: readonly NetworkConfig[],
  rules: HostRules,
): Promise<ForwardsFacts> {
  const readings = networks.map(network => ({ network, ...readForwards(network) }));
  const own = readings.map(({ network, claims, refused }) => ({
    network,
    claims: claims.filter(claim => claim.uuid === uuid),
    refused: refused.filter(({ machine }) => machine.uuid === uuid).map(({ problem }) => problem),
  }));
  const claims = own.flatMap(each => each.claims);
  const refused = own.flatMap(each => each.refused);
  if (claims.length === 0) return { ...noForwards, refused };
  const using = own.filter(each => each.claims.length > 0);
  const host = await readLinksAndRoutes(system);
  const [link = null] = defaultLinks(host);
  const firewalld = readFileOrNull('/etc/firewalld/firewalld.conf') ?? '';
  const [active, found, chainsInTheWay] = await Promise.all([
    Promise.all(
      claims.map(async ({ forward, ip }, index) => {
        const isTried = forward.protocol === 'tcp' && forward.first === forward.last && index < maxTried;
        const answer = isTried ? await tryConnection(formatIp(ip), forward.to) : 'unknown';
        return { forward, ip, answer } as const;
      }),
    ),
    Promise.all(
      using.map(({ network: { bridge }, claims: forwards }) =>
        findForwardRules(system, rules, bridge, forwards, link),
      ),
    ),
    Promise.all(using.map(({ network }) => readChainsInTheWay(network, rules))),
  ]);
  return {
    active,
    refused,
    unreachable: withoutHostAddress(claims, host),
    hasConntrack: system.isInstalled(conntrackProgram),
    isStrict: /^\s*StrictForwardPorts\s*=\s*yes/im.test(firewalld) && existsSync('/run/firewalld'),
    drops: found.flatMap(each => each.drops),
    takings: found.flatMap(each => each.takings),
    chainsInTheWay: chainsInTheWay.flat(),
    strictLinks: strictLinks(
      host,
      networks.map(({ bridge }) => bridge),
    ),
    reversePathDrops: countReversePathDrops(readFileOrNull('/proc/net/netstat') ?? ''),
  };
}

/** Returns the forwards of addresses that no link of the host has; its loopback addresses need none. */
function withoutHostAddress(
  claims: readonly Claim[],
  { links }: LinksAndRoutes,
): ForwardsFacts['unreachable'] {
  const own = new Set(links.flatMap(({ addresses }) => addresses.map(({ ip }) => ip)));
  return claims.flatMap(({ forward }) => {
    const { address } = forward;
    if (address === null || prefixContains(loopback, address) || own.has(address)) return [];
    return [{ forward, address }];
  });
}

async function tryConnection(host: string, port: number): Promise<Answer> {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(connectTimeoutMs) });
    return 'accepted';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'refused' : 'none';
  } finally {
    socket.destroy();
  }
}

async function readChainsInTheWay(
  network: NetworkConfig,
  rules: HostRules,
): Promise<ForwardsFacts['chainsInTheWay']> {
  const { warnings } = await surveyOtherFirewalls(network, rules);
  return warnings.flatMap(warning =>
    warning.kind === 'unknown-chain' && isOnTheWay(warning.found.chain)
      ? [{ bridge: network.bridge, chain: warning.found.chain }]
      : [],
  );
}

/** Returns whether packets of forwards meet a chain: frames that stay on a bridge are none. */
function isOnTheWay({ family, hook }: Chain): boolean {
  return hook === 'forward' && family !== 'bridge';
}

/**
 * Returns the links with an address of the host's whose reverse path filter is strict and that have no default
 * route: it drops clients beyond the link's own subnets, unless routes lead there.
 */
function strictLinks(host: LinksAndRoutes, bridges: readonly string[]): string[] {
  const others = ['lo', ...bridges, ...defaultLinks(host)];
  const links = host.links.filter(
    ({ name, up, addresses }) => up && addresses.length > 0 && !others.includes(name),
  );
  return links.map(({ name }) => name).filter(isStrictLink);
}

/** The kernel takes the greater of the two values, and 1 is strict (ip-sysctl.rst). */
function isStrictLink(link: string): boolean {
  const keys = ['all', link].map(each => linkSysctl('ipv4', each, 'rp_filter'));
  return Math.max(...[...readSysctls(keys, system.readFile).values()].map(Number)) === 1;
}

/** Longest wait for the host's own resolver. */
const nameTimeoutSeconds = 3;

/** Asks the host's own resolver for a machine, as its programs do. */
export async function readHostName(network: NetworkConfig, hostname: string): Promise<HostNameFacts> {
  const { found: by } = await surveyHostNames(network);
  // libnss-libvirt knows no domains.
  const name = by === 'nss' ? hostname : `${hostname}.${network.domain}`;
  const listed = await runOrNull('getent', ['ahostsv4', name], { timeoutSeconds: nameTimeoutSeconds });
  const found = (listed ?? '').split('\n').flatMap(line => /^\S+/.exec(line)?.[0] ?? []);
  return { name, by, found: [...new Set(found)], hasNssModule: hasNssModule() };
}

function hasNssModule(): boolean {
  const directories = ['/usr/lib64', ...listDirectory('/usr/lib').map(name => `/usr/lib/${name}`)];
  return directories.some(directory => existsSync(`${directory}/libnss_libvirt.so.2`));
}
