// The watcher: follows libvirt's events, the configuration, the hostsfiles, the leases and the kernel, and answers hooks
// and the command line. It holds no truth: all it knows can be read again, so it may be killed at any moment. Hooks are
// answered from files alone, never by way of libvirt, which waits for the hook.

import { ConnectionError, LibvirtClient } from 'node-libvirt';
import { probe } from '../diagnosis/probe/probe.ts';
import { findDnsmasq, isAlive } from '../dnsmasq/process.ts';
import { arrangeNetworks } from '../libvirt-networks/arrange.ts';
import type { LibvirtNetworkProblem } from '../libvirt-networks/decide.ts';
import { collectStatus } from '../operations/collect-status.ts';
import { establishForHook } from '../operations/establish-networks.ts';
import type { HookOutcome } from '../operations/hook-outcome.ts';
import { plugNic } from '../operations/plug-nic.ts';
import { prepareMachine } from '../operations/prepare-machine.ts';
import { publishNetwork } from '../operations/publish.ts';
import { preventDefault, startDaemon } from '../operations/start-daemon.ts';
import { takeDownNetworks } from '../operations/take-down-networks.ts';
import { hasLegacyRules } from '../other-firewalls/observe.ts';
import type { Event, FailureEvent } from '../report/event.ts';
import { logLine } from '../report/log-line.ts';
import type { Status } from '../report/status.ts';
import { openLog } from '../system/logger.ts';
import { system } from '../system/system.ts';
import { BackgroundProbes } from './background-probes.ts';
import { Configuration } from './configuration.ts';
import { Machines } from './machines.ts';
import { Metrics } from './metrics.ts';
import { followKernel } from './monitors.ts';
import { notifySystemd, watchdogIntervalMs } from './notify.ts';
import { type Reaction, reactionsTo } from './reactions.ts';
import { Repairs } from './repairs.ts';
import { Rescan } from './rescan.ts';
import { createRoutes } from './routes.ts';
import { Coalesced, Serial } from './serial.ts';
import { serve } from './server.ts';
import { mergeStatus } from './status.ts';
import { followConfiguration, followDnsmasqFiles, followLedger } from './watched-files.ts';

/** Interval of comparing everything without an event: `virsh attach-device --config` sends none. */
const reconcileIntervalMs = 180_000;

/** Interval of looking for dnsmasq's process, which takes 50 µs: it is nobody's child, so nobody is told of its death. */
const dnsmasqIntervalMs = 200;

/** Interval of scans on a host with iptables-legacy, whose changes the kernel does not report. */
const legacyRulesIntervalMs = 5000;

/** Pause after arranging libvirt's networks, which reads many files on a host with many machines. */
const arrangePauseMs = 300;

export class Watcher {
  readonly #log = openLog();
  /** While it is connected, virtqemud and virtnetworkd do not end for being idle. */
  readonly #client = new LibvirtClient();
  readonly #metrics = new Metrics();
  readonly #configuration: Configuration;
  readonly #machines: Machines;
  readonly #repairs = new Repairs(events => this.#report(events));
  readonly #rescan = new Rescan(() => this.#scan());
  /** Ends the pause of a unit that is left alone. */
  #retryTimer: NodeJS.Timeout | undefined;
  /** Calls to libvirt that depend on what they find run one after the other. */
  readonly #libvirtWork = new Serial();
  readonly #arrange = new Coalesced(() => this.#arrangeNetworks(), arrangePauseMs);
  readonly #reload = new Coalesced(() => this.#reloadConfiguration(), 0);
  readonly #probes = new BackgroundProbes(probe, ({ name }, result) =>
    this.#report([{ kind: 'probed', network: name, result }]),
  );
  #libvirtProblems: readonly LibvirtNetworkProblem[] = [];

  /** Throws InvalidConfig. */
  constructor(configPath: string) {
    this.#configuration = new Configuration(configPath);
    this.#machines = new Machines(
      this.#client,
      events => this.#report(events),
      () => this.#configuration.networks,
    );
  }

  /** Runs until the process is told to end. Throws when another watcher runs. */
  async run(): Promise<void> {
    const server = await serve(this.#routes());
    const networks = () => this.#configuration.networks;
    const rescan = () => this.#rescan.request();
    const report = (event: Event) => this.#report([event]);
    this.#rescan.pauseWhileScanning(followKernel(networks, rescan, report));
    await this.#establish();
    for (const network of networks()) this.#probes.request(network);
    const files = [
      followConfiguration(this.#configuration.path, () => void this.#reload.request()),
      followDnsmasqFiles(networks, rescan, report),
      followLedger(networks, report),
    ];
    this.#followLibvirt();
    const timers = this.#startTimers();
    await notifySystemd('--ready', '--status=watching');
    this.#report([{ kind: 'watcher-started', networks: networks().map(({ name }) => name) }]);
    await new Promise<void>(resolve => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
    });
    for (const timer of timers) clearInterval(timer);
    this.#rescan.stop();
    this.#probes.stop();
    server.close();
    await Promise.all([this.#client.close(), ...files.map(watched => watched.close())]);
    this.#report([{ kind: 'watcher-stopped' }]);
  }

  #startTimers(): NodeJS.Timeout[] {
    const timers = [
      setInterval(() => void this.#reconcile(), reconcileIntervalMs),
      setInterval(() => this.#checkDnsmasq(), dnsmasqIntervalMs),
      setInterval(() => hasLegacyRules(system.readFile) && this.#rescan.request(), legacyRulesIntervalMs),
    ];
    const watchdogMs = watchdogIntervalMs();
    if (watchdogMs !== null) timers.push(setInterval(() => void notifySystemd('WATCHDOG=1'), watchdogMs));
    return timers;
  }

  /** Writes events to the log, counts them, and probes networks that changed. */
  #report(events: readonly Event[]): void {
    for (const event of events) {
      const { level, message, fields } = logLine(event);
      this.#log[level](fields, message);
      this.#metrics.count(event);
      if (event.kind === 'network-established' || event.kind === 'network-repaired') {
        const network = this.#configuration.networks.find(({ name }) => name === event.network);
        if (network !== undefined) this.#probes.request(network);
      }
    }
  }

  /** Reports a failure. That libvirt is gone is reported once; when it is back, everything is compared again. */
  #reportFailure(during: FailureEvent['during'], error: unknown, machine?: string): void {
    if (error instanceof ConnectionError) return;
    const where = machine === undefined ? {} : { machine };
    this.#report([{ kind: 'failed', during, error: error as Error, ...where }]);
  }

  async #establish(): Promise<void> {
    for (const network of this.#configuration.networks) {
      this.#report(await establishForHook(network));
      publishNetwork(network);
    }
  }

  /** Repairs what somebody else changed. Returns whether there was anything. */
  async #scan(): Promise<boolean> {
    let isRepaired = false;
    for (const network of this.#configuration.networks)
      isRepaired = (await this.#repairs.repair(network)) || isRepaired;
    const next = this.#repairs.nextTry();
    clearTimeout(this.#retryTimer);
    if (next !== null) this.#retryTimer = setTimeout(() => this.#rescan.request(), next - Date.now()).unref();
    return isRepaired;
  }

  /** Scans when a dnsmasq has died, unless it dies so often that it is left alone. */
  #checkDnsmasq(): void {
    const isMissing = this.#configuration.networks.some(
      network => findDnsmasq(network.bridge) === null && this.#repairs.keepsDnsmasq(network),
    );
    if (isMissing) this.#rescan.request();
  }

  #followLibvirt(): void {
    this.#client.on('connected', ({ drivers, socket }) => {
      this.#countConnection();
      this.#report([{ kind: 'libvirt-connected', socket }]);
      if (drivers.includes('network')) void this.#arrange.request();
      if (drivers.includes('domain')) void this.#reconcile();
    });
    this.#client.on('disconnected', ({ socket, error }) => {
      this.#countConnection();
      this.#report([{ kind: 'libvirt-disconnected', socket, error }]);
    });
    this.#client.on('notice', notice => {
      if (notice.kind !== 'connect-failed') this.#report([{ kind: 'libvirt-notice', notice }]);
    });
    this.#client.on('event', event => {
      for (const reaction of reactionsTo(event)) this.#react(reaction);
    });
    this.#client.start();
  }

  #react(reaction: Reaction): void {
    switch (reaction.kind) {
      case 'arrange-networks':
        void this.#arrange.request();
        return;
      case 'settle-machine':
      case 'retire-machine': {
        const { domain } = reaction;
        const work = () =>
          reaction.kind === 'settle-machine'
            ? this.#machines.reconcile(domain)
            : this.#machines.removed(domain);
        this.#libvirtWork.run(work).catch(error => this.#reportFailure('libvirt-event', error, domain.name));
      }
    }
  }

  /** With modular daemons virtnetworkd may be absent: the metric is about the daemon of the machines. */
  #countConnection(): void {
    this.#metrics.libvirtConnected.set(this.#client.isConnected('domain') ? 1 : 0);
  }

  async #reconcile(): Promise<void> {
    try {
      this.#rescan.request();
      for (const network of this.#configuration.networks) publishNetwork(network);
      if (!this.#client.isConnected('domain')) return;
      await this.#libvirtWork.run(() => this.#machines.reconcileAll());
      this.#metrics.lastReconcile.setToCurrentTime();
    } catch (error) {
      this.#reportFailure('reconcile', error);
    }
  }

  async #arrangeNetworks(): Promise<void> {
    try {
      if (!this.#client.isConnected('network')) return;
      const { actions, problems } = await arrangeNetworks(this.#client, this.#configuration.current);
      this.#report(actions.map(action => ({ kind: 'libvirt-network-changed', action })));
      this.#libvirtProblems = problems;
    } catch (error) {
      this.#reportFailure('libvirt-networks', error);
    }
  }

  async #reloadConfiguration(): Promise<void> {
    const reloaded = this.#configuration.reload();
    if (reloaded.kind === 'rejected') {
      if (reloaded.isNew) this.#report([{ kind: 'configuration-rejected', error: reloaded.error }]);
      return;
    }
    this.#report([{ kind: 'configuration-applied' }]);
    for (const network of reloaded.removed) {
      const failed = (error: Error): Event => ({ kind: 'network-failed', network: network.name, error });
      await takeDownNetworks([network]).catch((error: Error) => this.#report([failed(error)]));
    }
    await this.#establish();
    await this.#reconcile();
    await this.#arrange.request();
  }

  #routes() {
    return createRoutes({
      timeHook: async (hook, work) => {
        const done = this.#metrics.hookSeconds.startTimer({ hook });
        const outcome = await work().catch(
          (error: Error): HookOutcome => ({
            events: [{ kind: 'failed', during: 'hook', error }],
            abort: null,
          }),
        );
        this.#report(outcome.events);
        done();
        return outcome;
      },
      prepareMachine: xml => prepareMachine(xml, this.#configuration.current),
      plugNic: xml => plugNic(xml, this.#configuration.current),
      startDaemon: () => this.#greetDaemon(),
      settleMachine: name => this.#settleNamed(name),
      status: () => this.#status(),
      metrics: async () => ({
        type: this.#metrics.contentType,
        body: await this.#metrics.render(this.#configuration.networks),
      }),
    });
  }

  /**
   * A daemon of libvirt waits for this before it starts. Where bridge and dnsmasq of every network are there, which can be
   * seen without running a program, the rest is compared after the answer: the watcher has kept it right.
   */
  async #greetDaemon(): Promise<HookOutcome> {
    const config = this.#configuration.current;
    if (!config.networks.every(isAlive)) return startDaemon(config);
    void this.#establish().catch(error => this.#reportFailure('reconcile', error));
    return { events: preventDefault(config), abort: null };
  }

  async #settleNamed(name: string): Promise<boolean> {
    if (!this.#client.isConnected('domain')) return false;
    await this.#libvirtWork.run(async () =>
      this.#machines.reconcile(await this.#client.domainLookupByName(name)),
    );
    return true;
  }

  async #status(): Promise<Status> {
    return mergeStatus(await collectStatus(this.#configuration.current), {
      pid: process.pid,
      libvirt: this.#client.isConnected('domain') ? 'connected' : 'disconnected',
      configurationProblem: this.#configuration.problem,
      libvirtProblems: this.#libvirtProblems,
      fights: this.#repairs.fights(),
      lastProbe: network => this.#probes.last(network),
    });
  }
}
