import type { Logger } from 'pino';
import type { Config, NetworkConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { probe } from '../diagnosis/probe/probe.ts';
import { findDnsmasq, isAlive } from '../dnsmasq/process.ts';
import { messageOf } from '../errors.ts';
import { arrangeNetworks } from '../libvirt-networks/arrange.ts';
import { actionFields, problemText } from '../libvirt-networks/words.ts';
import { takeDown, withNetworkLock } from '../network/establish.ts';
import { ConnectionError, LibvirtClient, type LibvirtEvent } from '../node-libvirt/src/index.ts';
import { collectStatus } from '../operations/collect-status.ts';
import { plugNic } from '../operations/plug-nic.ts';
import { prepareMachine } from '../operations/prepare-machine.ts';
import { publishNetwork } from '../operations/publish.ts';
import { preventDefault, repair, startDaemon } from '../operations/start-daemon.ts';
import type { LogRecord, Outcome } from '../report/outcome.ts';
import { openLog } from '../system/log.ts';
import { BackgroundProbes } from './background-probes.ts';
import type { Answer } from './client.ts';
import { refusals } from './configuration.ts';
import { Machines } from './machines.ts';
import { Metrics } from './metrics.ts';
import { followKernel, hasSilentRules } from './monitors.ts';
import { notifySystemd, watchdogInterval } from './notify.ts';
import { Repairs } from './repairs.ts';
import { Lookout } from './rescan.ts';
import { Coalesced, Serial } from './serial.ts';
import { plainText, type Routes, serve } from './server.ts';
import { followConfiguration, followDnsmasqFiles, followLedger } from './watched-files.ts';

/** How often everything is compared although no event said so, in milliseconds: `virsh attach-device --config` is not signalled. */
const reconcileEvery = 180_000;

/** How often dnsmasq's process is looked for, in milliseconds: it is nobody's child, so its death tells nobody. That takes 50 µs. */
const dnsmasqEvery = 200;

/** How often the host is looked at where rules change in silence, in milliseconds. */
const silentEvery = 5000;

/** How long libvirt's networks are left alone after they were arranged, in milliseconds: with many machines that reads many files. */
const arrangeRest = 300;

/**
 * The watcher: follows libvirt's events, the configuration, the hostsfiles and the leases, and answers hooks and the
 * command line. It holds no truth: all it knows can be read again, so it may be killed at any moment. What hooks ask
 * is answered from files alone, never by way of libvirt, which waits for the hook.
 */
export class Watcher {
  readonly #log: Logger = openLog();
  readonly #client = new LibvirtClient();
  readonly #metrics = new Metrics();
  readonly #machines: Machines;
  readonly #repairs: Repairs;
  readonly #lookout = new Lookout(() => this.#look());
  /** Ends the pause of what is left alone. */
  #retry: NodeJS.Timeout | undefined;
  /** Calls to libvirt that depend on what they find go one after the other. */
  readonly #libvirtWork = new Serial();
  readonly #arrange = new Coalesced(() => this.#arrangeNetworks(), arrangeRest);
  readonly #reload = new Coalesced(() => this.#readConfig(), 0);
  readonly #probes = new BackgroundProbes(probe, ({ name }, { passed, seen }) => {
    const fields = { network: name };
    if (passed) this.#log.info(fields, 'probe: a machine gets its lease, names and the outside');
    else this.#log.warn(fields, `probe: ${seen}`);
  });
  #config: Config;
  /** Why the configuration on disk is not the one in force; null when it is. */
  #configProblem: string | null = null;
  #libvirtProblems: readonly string[] = [];

  constructor(private readonly configPath: string) {
    this.#config = loadConfig(configPath);
    const write = (records: readonly LogRecord[]) => this.#write(records);
    this.#repairs = new Repairs(write);
    this.#machines = new Machines(this.#client, this.#log, write, () => this.#config.networks);
  }

  /** Runs until the process is told to end. */
  async run(): Promise<void> {
    const server = await serve(this.#routes());
    const networks = () => this.#config.networks;
    const sign = () => this.#lookout.sign();
    this.#lookout.listen(followKernel(networks, sign, this.#log));
    await this.#establish();
    for (const network of this.#config.networks) this.#probes.request(network);
    const files = [
      followConfiguration(this.configPath, () => void this.#reload.request()),
      followDnsmasqFiles(networks, sign, this.#log),
      followLedger(networks, this.#log),
    ];
    this.#followLibvirt();
    const timers = [
      setInterval(() => void this.#reconcile(), reconcileEvery),
      setInterval(() => this.#missDnsmasq(), dnsmasqEvery),
      setInterval(() => hasSilentRules() && sign(), silentEvery),
    ];
    const watchdog = watchdogInterval();
    if (watchdog !== null) timers.push(setInterval(() => void notifySystemd('WATCHDOG=1'), watchdog));
    await notifySystemd('--ready', '--status=watching');
    this.#log.info({ networks: this.#config.networks.map(({ name }) => name) }, 'watching');
    await new Promise<void>(resolve => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    });
    for (const timer of timers) clearInterval(timer);
    this.#lookout.stop();
    this.#probes.stop();
    server.close();
    await Promise.all([this.#client.close(), ...files.map(watched => watched.close())]);
    this.#log.info('watcher ends; the network stays');
  }

  async #establish(): Promise<void> {
    for (const network of this.#config.networks) {
      this.#write(await repair(network));
      publishNetwork(network);
    }
  }

  /** Puts right what somebody else changed; gives whether there was anything. */
  async #look(): Promise<boolean> {
    const repaired: NetworkConfig[] = [];
    for (const network of this.#config.networks) {
      if (await this.#repairs.mend(network)) repaired.push(network);
    }
    const next = this.#repairs.nextTry();
    clearTimeout(this.#retry);
    if (next !== null) {
      this.#retry = setTimeout(() => this.#lookout.sign(), next - Date.now()).unref();
    }
    return repaired.length > 0;
  }

  /** dnsmasq's death is a sign, unless it dies so often that it is left alone. */
  #missDnsmasq(): void {
    const isMissed = (network: NetworkConfig) =>
      findDnsmasq(network.bridge) === null && this.#repairs.keepsDnsmasq(network);
    if (this.#config.networks.some(isMissed)) this.#lookout.sign();
  }

  #write(records: readonly LogRecord[]): void {
    for (const { level, message, fields } of records) {
      this.#log[level](fields, message);
      if (message === 'network established' || message === 'network repaired')
        this.#repaired(String(fields.network));
      if (message === 'address reserved') this.#metrics.reservations.inc();
    }
  }

  /** Whether a machine gets through what was put right, a probe shows. */
  #repaired(name: string): void {
    this.#metrics.repairs.inc({ network: name });
    const network = this.#config.networks.find(other => other.name === name);
    if (network !== undefined) this.#probes.request(network);
  }

  #followLibvirt(): void {
    this.#client.on('connected', ({ drivers, socket }) => {
      this.#countConnection();
      this.#log.info({ socket }, 'libvirt connected');
      if (drivers.includes('network')) void this.#arrange.request();
      if (drivers.includes('domain')) void this.#reconcile();
    });
    this.#client.on('disconnected', ({ socket, error }) => {
      this.#countConnection();
      this.#log.warn({ socket }, `libvirt is gone: ${error.message}`);
    });
    this.#client.on('notice', notice => {
      if (notice.kind !== 'connect-failed') this.#log.warn({ notice }, 'libvirt');
    });
    this.#client.on('event', event => this.#take(event));
    this.#client.start();
  }

  /** Where virtnetworkd has the networks, it may come and go, or be missing: what counts is who has the machines. */
  #countConnection(): void {
    this.#metrics.libvirtConnected.set(this.#client.isConnected('domain') ? 1 : 0);
  }

  #take(event: LibvirtEvent): void {
    if (event.type === 'network-lifecycle') {
      void this.#arrange.request();
      return;
    }
    const { domain } = event;
    const isRemoval =
      event.type === 'domain-lifecycle' && event.event === 'undefined' && event.detail === 'removed';
    // The old name of a renamed machine goes, then the new one comes, with the same uuid: only that says anything.
    if (event.type === 'domain-lifecycle' && event.event === 'undefined' && event.detail === 'renamed')
      return;
    const isEnd = event.type === 'domain-lifecycle' && event.event === 'stopped';
    void this.#libvirtWork
      .run(async () => {
        if (isRemoval || isEnd) await this.#machines.removed(domain);
        if (!isRemoval) await this.#machines.settle(domain);
      })
      .catch(error => this.#complain('event not acted upon', error, { machine: domain.name }));
    // Whether default is given to a pass-through depends on what machines refer to, and on whether they run.
    if (isRemoval || isEnd || (event.type === 'domain-lifecycle' && event.event === 'defined'))
      void this.#arrange.request();
  }

  async #reconcile(): Promise<void> {
    try {
      this.#lookout.sign();
      for (const network of this.#config.networks) publishNetwork(network);
      if (!this.#client.isConnected('domain')) return;
      await this.#libvirtWork.run(() => this.#machines.settleAll());
      this.#metrics.lastReconcile.setToCurrentTime();
    } catch (error) {
      this.#complain('not all could be compared', error);
    }
  }

  async #arrangeNetworks(): Promise<void> {
    try {
      if (!this.#client.isConnected('network')) return;
      const { actions, problems } = await arrangeNetworks(this.#client, this.#config);
      for (const action of actions) this.#log.info({ action: actionFields(action) }, 'libvirt network');
      this.#libvirtProblems = problems.map(problemText);
    } catch (error) {
      this.#complain("libvirt's networks", error);
    }
  }

  /** Logs what failed. That libvirt is gone has been logged once, and when it is back all is compared anew. */
  #complain(what: string, error: unknown, fields: object = {}): void {
    if (!(error instanceof ConnectionError)) this.#log.error(fields, `${what}: ${messageOf(error)}`);
  }

  async #readConfig(): Promise<void> {
    const before = this.#config;
    try {
      const next = loadConfig(this.configPath);
      const [refusal] = refusals(before, next);
      if (refusal !== undefined) throw new Error(refusal);
      this.#config = next;
      this.#configProblem = null;
      await withNetworkLock(async () => {
        const gone = before.networks.filter(
          ({ bridge }) => !next.networks.some(other => other.bridge === bridge),
        );
        for (const { name, bridge } of gone) await takeDown(name, bridge);
      });
      this.#log.info('configuration read');
    } catch (error) {
      const message = messageOf(error);
      if (message !== this.#configProblem)
        this.#log.error(`${message}; the configuration read before stays in force`);
      this.#configProblem = message;
      return;
    }
    await this.#establish();
    await this.#reconcile();
    await this.#arrange.request();
  }

  #routes(): Routes {
    const timed = (hook: string, work: (xml: string) => Promise<Outcome>) => async (body: string) => {
      const done = this.#metrics.hookSeconds.startTimer({ hook });
      const outcome = await work(body).catch(
        (error: Error): Outcome => ({
          records: [{ level: 'error', message: error.message, fields: {} }],
          abort: null,
        }),
      );
      this.#write(outcome.records);
      done();
      return text(outcome.abort === null ? 'start\n' : `abort ${outcome.abort.replaceAll('\n', ' ')}\n`);
    };
    return new Map([
      ['GET /ping', async () => text('virlan\n')],
      ['POST /hook/qemu/prepare', timed('qemu prepare', xml => prepareMachine(xml, this.#config))],
      ['POST /hook/network/port-created', timed('network port-created', xml => plugNic(xml, this.#config))],
      ['POST /hook/daemon/start', timed('daemon start', () => this.#greetDaemon())],
      ['POST /settle', async name => text(`${await this.#settleNamed(name)}\n`)],
      ['GET /status', async () => json(await this.#status())],
      [
        'GET /metrics',
        async () => ({
          status: 200,
          type: this.#metrics.contentType,
          body: await this.#metrics.render(this.#config.networks),
        }),
      ],
    ]);
  }

  /**
   * A daemon of libvirt's waits for this before it starts. Where all that can be seen without running a program is
   * right, which the watcher has been looking after, it need not wait for the rest of the comparison.
   */
  async #greetDaemon(): Promise<Outcome> {
    if (!this.#config.networks.every(isAlive)) return startDaemon(this.#config);
    const records = preventDefault(this.#config);
    void this.#establish().catch(error => this.#log.error(messageOf(error)));
    return { records, abort: null };
  }

  /** Looks at a machine again, because its entry in the ledger changed and no event says so. */
  async #settleNamed(name: string): Promise<string> {
    if (!this.#client.isConnected('domain')) return 'libvirt is not connected';
    await this.#libvirtWork.run(async () =>
      this.#machines.settle(await this.#client.domainLookupByName(name)),
    );
    return 'done';
  }

  async #status(): Promise<object> {
    const status = await collectStatus(this.#config);
    const libvirt = this.#client.isConnected('domain') ? 'connected' : 'disconnected';
    const problems = [
      ...(this.#configProblem?.split('\n') ?? []),
      ...this.#libvirtProblems,
      ...this.#repairs.problems(),
    ];
    const networks = status.networks.map((network, index) => {
      const last = this.#probes.last(network.name);
      const probed = last?.passed === false ? [`probe at ${last.at}: ${last.seen}; see "virlan doctor"`] : [];
      const all = [...(index === 0 ? problems : []), ...network.problems, ...probed];
      return { ...network, problems: all, probe: last };
    });
    return { ...status, watcher: { running: true, pid: process.pid, libvirt }, networks };
  }
}

function text(body: string): Answer {
  return { status: 200, type: plainText, body };
}

function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}
