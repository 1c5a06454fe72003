import { formatIp } from '../address/ip.ts';
import type { Values } from '../cli/table.ts';
import { print, printJson } from '../cli/terminal.ts';
import type { NetworkConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { handLines } from '../dnsmasq/hostsfile.ts';
import { formulaMac } from '../identity/formula.ts';
import type { Ledger } from '../identity/ledger.ts';
import { machineOn, noWishes } from '../identity/machine.ts';
import { reserve } from '../identity/reserve.ts';
import { changeLedger, readHostsfile, readLeases, readLedger, syncHostsfile } from '../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { selectNetworks } from './networks.ts';

/** `virlan mac NAME`: the MAC that the machine has on a network, or would get. */
export async function mac(options: Values, name: string): Promise<number> {
  const network = chooseNetwork(options);
  const known = findNic(network, name, options.nic);
  const found =
    known.mac ??
    formulaMac({ network: network.name, machine: name, nic: options.nic }, takenMacs(network, readLedger()));
  return answer(
    options,
    { name, network: network.name, nic: options.nic, mac: found, given: known.mac !== null },
    found,
  );
}

/** `virlan ip NAME`: the address that the machine has on a network, or would get. */
export async function ip(options: Values, name: string): Promise<number> {
  const network = chooseNetwork(options);
  const known = findNic(network, name, options.nic);
  const address = known.entry?.ip ?? wouldGet(network, name, options.nic);
  if (address === null)
    throw new Error(`${name} would get no address: dhcp-range of ${network.name} is used up: widen it`);
  const text = formatIp(address);
  return answer(
    options,
    { name, network: network.name, nic: options.nic, ip: text, given: known.entry?.ip != null },
    text,
  );
}

/** `virlan forget NAME`: drops the reservations of a machine that is not running. */
export async function forget(options: Values, name: string): Promise<number> {
  const { networks } = loadConfig(options.config);
  if (runningDomains().some(domain => domain.name === name)) {
    throw new Error(`${name} is running and keeps its reservation: shut it down first`);
  }
  const dropped = await changeLedger(ledger => {
    const entries = networks.flatMap(network => ledger.named(network.name, name));
    return { ledger: entries.reduce((rest, entry) => rest.replace(entry, null), ledger), result: entries };
  });
  if (dropped.length === 0)
    throw new Error(`there is no reservation of a machine ${JSON.stringify(name)}: see "virlan status"`);
  for (const network of networks.filter(({ name: on }) => dropped.some(entry => entry.network === on))) {
    await syncHostsfile(network, network.bridge);
  }
  const addresses = dropped.map(entry => (entry.ip === null ? 'no address' : formatIp(entry.ip)));
  if (options.json)
    printJson({
      name,
      dropped: dropped.map(({ network, nic, macs }, index) => ({ network, nic, macs, ip: addresses[index] })),
    });
  else print(`${name} is forgotten: ${addresses.join(', ')}`);
  return 0;
}

/** `virlan adopt NAME`: has a machine that has booted already get its formula MAC at its next cold start. */
export async function adopt(options: Values, name: string): Promise<number> {
  const networks = loadConfig(options.config).networks.filter(network => network.mac !== 'keep');
  const adopted = await changeLedger(ledger => {
    const entries = networks
      .flatMap(network => ledger.named(network.name, name))
      .filter(entry => entry.retired === null);
    const own = entries.filter(entry => entry.mac === 'own');
    const result = own.reduce((rest, entry) => rest.replace(entry, { ...entry, mac: 'due' }), ledger);
    return { ledger: result, result: entries };
  });
  if (adopted.length === 0) {
    throw new Error(
      `there is no machine ${JSON.stringify(name)} whose MAC virlan may change: see "virlan status"`,
    );
  }
  const { requestWatcher } = await import('../watcher/client.ts');
  const isSettled = (await requestWatcher('POST', '/settle', name))?.body === 'done\n';
  if (options.json)
    printJson({
      name,
      adopted: adopted.map(({ network, nic }) => ({ network, nic })),
      watcher: isSettled,
    });
  else {
    const isRunning = runningDomains().some(domain => domain.name === name);
    const when = isRunning ? 'when it is shut down' : 'now';
    print(
      `${name} gets the MAC of the formula ${isSettled ? when : 'when the watcher runs and libvirt is there: "virlan watch"'}`,
    );
  }
  return 0;
}

function chooseNetwork(options: Values): NetworkConfig {
  const [network] = selectNetworks(
    loadConfig(options.config),
    options.network === null ? [] : [options.network],
  );
  if (network === undefined) throw new Error('virlan.ini has no network');
  return network;
}

function answer({ json }: Values, report: object, text: string): number {
  if (json) printJson(report);
  else print(text);
  return 0;
}

/** What is known of a machine's NIC: from the ledger, and from its definition. */
function findNic(network: NetworkConfig, name: string, nic: number) {
  const entries = readLedger().named(network.name, name);
  const entry =
    entries.find(other => other.nic === nic && other.retired === null) ??
    entries.find(other => other.nic === nic);
  const domain = [...runningDomains(), ...definedDomains()].find(other => other.name === name);
  const defined =
    domain && machineOn(network.bridge, passThroughNetworks(network.name, network.bridge), domain).macs[nic];
  return { entry, mac: entry?.macs[0] ?? defined ?? null };
}

function takenMacs(network: NetworkConfig, ledger: Ledger) {
  const defined = new Set(
    [...definedDomains(), ...runningDomains()].flatMap(domain => domain.nics.map(other => other.mac)),
  );
  const byHand = handLines(readHostsfile(network.bridge)).flatMap(line => line.macs);
  const fixed = network.hosts.map(host => host.mac);
  return (candidate: NonNullable<ReturnType<typeof findNic>['mac']>) =>
    defined.has(candidate) ||
    byHand.includes(candidate) ||
    fixed.includes(candidate) ||
    ledger.withMac(candidate).length > 0;
}

/** What `reserve` would decide, on a copy of the ledger, for a machine that does not exist yet. */
function wouldGet(network: NetworkConfig, name: string, nic: number) {
  const ledger = readLedger();
  const isTaken = takenMacs(network, ledger);
  const macs = Array.from({ length: nic + 1 }, (_, place) =>
    formulaMac({ network: network.name, machine: name, nic: place }, isTaken),
  );
  const machine = { name, uuid: '00000000-0000-0000-0000-000000000000', macs, wishes: noWishes };
  const reserved = reserve(ledger, machine, 'defined', {
    network,
    byHand: handLines(readHostsfile(network.bridge)),
    leases: () => readLeases(network.bridge),
    isKnown: () => false,
    now: new Date(),
  });
  return reserved.entries[nic]?.ip ?? null;
}
