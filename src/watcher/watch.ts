// The watcher: follows libvirt, files and the kernel, and answers hooks and commands. It keeps no state that cannot be
// read again, so it may be killed at any moment. It answers hooks from files alone, because libvirt waits for them.
import { probe } from '../diagnosis/probe/probe.ts';
import { listStaticEntries } from '../network/kernel/read-kernel.ts';
import { collectStatus } from '../operations/collect-status.ts';
import { removeAllDeadTemporaries } from '../operations/remove-dead-temporaries.ts';
import { mayChangeConfiguration } from '../operations/serve-in-configuration.ts';
import { syncForwards } from '../operations/sync-forwards.ts';
import type { Event } from '../report/event.ts';
import { logLine } from '../report/log-line.ts';
import type { Status } from '../report/status.ts';
import { openLog } from '../system/logger.ts';
import { system } from '../system/system.ts';
import { BackgroundProbes } from './background-probes.ts';
import { PeerChecks } from './cluster/peer-checks.ts';
import { SharedLedgers } from './cluster/shared-ledgers.ts';
import { Configuration } from './configuration.ts';
import { LibvirtFollower } from './libvirt-follower.ts';
import { MachineStarts } from './machines/machine-starts.ts';
import { Metrics } from './metrics.ts';
import { Bgpd } from './monitors/bgpd.ts';
import { DnsmasqProcesses } from './monitors/dnsmasq-processes.ts';
import type { FollowedFiles } from './monitors/followed-files.ts';
import { LegacyRules } from './monitors/legacy-rules.ts';
import { followKernel } from './monitors/monitors.ts';
import { RootPorts } from './monitors/root-ports.ts';
import { StaticEntries } from './monitors/static-entries.ts';
import { endRequested } from './process/end-signals.ts';
import { notifySystemd } from './process/notify.ts';
import { preferThisProcess } from './process/priority.ts';
import { Coalesced } from './process/serial.ts';
import { startTimers } from './process/timers.ts';
import { outliveUsedUpDescriptors } from './process/used-up-descriptors.ts';
import { establishAll, publishAll, takeDownAll } from './repairs/network-work.ts';
import { Repairs } from './repairs/repairs.ts';
import { Rescan } from './repairs/rescan.ts';
import type { Answer } from './socket/answers.ts';
import { hookHandlers } from './socket/hook-handlers.ts';
import { MetricsServer } from './socket/metrics-server.ts';
import { createRoutes } from './socket/routes.ts';
import { SocketServer } from './socket/server.ts';
import { StatusFeed } from './socket/status-feed.ts';
import { mergeStatus } from './status.ts';
import { followConfiguration, followDnsmasqFiles, followLedger } from './watched-files.ts';

/** The watcher of one host. Create one per process. */
export class Watcher {
  readonly #log = openLog();
  readonly #metrics = new Metrics();
  readonly #configuration: Configuration;
  readonly #networks = () => this.#configuration.networks;
  /** Writes events to the log, counts them, tells views, and probes networks that changed. */
  readonly #report = (events: readonly Event[]): void => {
    for (const event of events) {
      const { level, message, fields } = logLine(event);
      this.#log[level](fields, message);
      this.#metrics.count(event);
      if (event.kind === 'network-established' || event.kind === 'network-repaired')
        this.#probes.request(event.network);
      this.#feed.changed();
      const hasFailed = event.kind === 'network-failed' || event.kind === 'step-failed';
      // A scan tries again what a hook could not, as often as that takes, and restarts dnsmasq if its files changed.
      if (hasFailed || mayChangeConfiguration(event, this.#networks())) this.#rescan.request();
    }
  };
  readonly #reportOne = (event: Event): void => this.#report([event]);
  readonly #libvirt: LibvirtFollower;
  readonly #repairs = new Repairs(this.#report, () => this.#rescan.request());
  readonly #starts = new MachineStarts(system, () => this.#configuration.current, {
    began: () => this.#rescan.listen(),
    prepared: () => this.#sharedLedgers.request(),
    failed: domain => this.#libvirt.startFailed(domain),
  });
  readonly #rescan = new Rescan(
    () => this.#scan(),
    () => this.#starts.whenEnded(),
  );
  #files: readonly FollowedFiles[] = [];
  readonly #bgpd = new Bgpd();
  readonly #rootPorts = new RootPorts(system.readFile);
  readonly #staticEntries = new StaticEntries(listStaticEntries);
  /** Opens and closes forwards after events of machines; one time for a burst of events. */
  readonly #forwards = new Coalesced(async () => this.#report(await syncForwards(this.#networks())));
  readonly #reload = new Coalesced(() => this.#reloadConfiguration());
  readonly #legacyRules = new LegacyRules(system);
  readonly #dnsmasqs = new DnsmasqProcesses(this.#repairs);
  readonly #probes = new BackgroundProbes(
    async name => {
      const network = this.#networks().find(each => each.name === name);
      if (network === undefined) return null;
      this.#metrics.probes.inc({ network: name });
      return probe(network);
    },
    {
      ended: () => this.#feed.changed(),
      changed: (network, result) => this.#report([{ kind: 'probed', network, result }]),
    },
  );
  readonly #peers = new PeerChecks(this.#networks, this.#report);
  readonly #sharedLedgers = new SharedLedgers(() => this.#configuration.current, {
    report: this.#report,
    changed: () => {
      this.#feed.changed();
      // A wildcard alias of another host changes dnsmasq's configuration.
      this.#rescan.request();
    },
    hostsChanged: () => void this.#reload.request(),
    blocksClaimed: ({ name }) => this.#probes.request(name),
    lost: names => {
      // It fails without a connection, and for a machine that is gone. All machines are compared on connection.
      for (const name of names) this.#libvirt.reconcileNamed(name).catch(() => {});
    },
  });
  readonly #feed = new StatusFeed(() => this.#status());
  readonly #metricsServer = new MetricsServer(() => this.#renderMetrics(), this.#reportOne);

  readonly #linksChanged = (): void => {
    this.#starts.linksChanged();
    this.#rescan.request();
  };

  /** Probes again: routes or rules have changed that packets of machines may meet. */
  readonly #waysChanged = (): void => {
    for (const { name } of this.#networks()) this.#probes.requestAfterChange(name);
    void this.#peers.request();
  };

  /** Throws InvalidConfig. */
  constructor(configPath: string) {
    this.#configuration = new Configuration(configPath);
    this.#libvirt = new LibvirtFollower(this.#configuration, {
      report: this.#report,
      connectionChanged: () => this.#feed.changed(),
      machinesChanged: () => void this.#reconcile(),
      networksChanged: () => this.#rescan.request(),
      starts: this.#starts,
      machineChanged: () => {
        void this.#forwards.request();
        // It may have stopped because it has migrated to another host, which has it from now on.
        this.#sharedLedgers.request();
        this.#feed.changed();
      },
    });
  }

  /** Runs until SIGTERM or SIGINT. Only one watcher may run on a host. */
  async run(): Promise<void> {
    preferThisProcess();
    outliveUsedUpDescriptors(this.#reportOne);
    const server = new SocketServer(this.#routes(), this.#reportOne);
    await server.start();
    const monitors = followKernel(this.#networks, this.#linksChanged, this.#waysChanged, this.#reportOne);
    this.#rescan.pauseWhileScanning(monitors);
    await this.#establish();
    await this.#metricsServer.listen(this.#configuration.current.metrics);
    await this.#legacyRules.haveChanged();
    for (const { name } of this.#networks()) this.#probes.request(name);
    void this.#peers.request();
    this.#files = this.#followFiles();
    await this.#sharedLedgers.apply();
    this.#libvirt.rehearse();
    this.#libvirt.start();
    const stopTimers = this.#startTimers(server);
    await notifySystemd('--ready', '--status=watching');
    this.#report([{ kind: 'watcher-started', networks: this.#networks().map(({ name }) => name) }]);
    await endRequested();
    stopTimers();
    this.#rescan.stop();
    this.#probes.stop();
    await this.#sharedLedgers.close();
    server.close();
    this.#metricsServer.close();
    this.#feed.close();
    await Promise.all([this.#libvirt.close(), ...this.#files.map(watched => watched.close())]);
    this.#report([{ kind: 'watcher-stopped' }]);
  }

  #followFiles(): FollowedFiles[] {
    const [drifted, report] = [this.#linksChanged, this.#reportOne];
    const ledgerChanged = () => {
      drifted();
      this.#sharedLedgers.request();
    };
    return [
      followConfiguration(this.#configuration, () => void this.#reload.request(), report),
      followDnsmasqFiles(this.#networks, { leasesChanged: () => this.#feed.changed(), drifted, report }),
      followLedger(this.#networks, ledgerChanged, report),
    ];
  }

  /** Returns a function that stops them. */
  #startTimers(server: SocketServer): () => void {
    return startTimers({
      reconcile: () => {
        void this.#reconcile();
        for (const { name } of this.#networks()) this.#probes.renew(name);
        // A NIC of another program may have left the bridge of `default`.
        void this.#libvirt.arrangeNetworks();
      },
      checkDnsmasq: () => this.#dnsmasqs.isAnyDue(this.#networks()) && this.#linksChanged(),
      askDnsmasq: () => void this.#dnsmasqs.endSilent(this.#networks()).then(this.#report),
      checkRootPorts: () => this.#rootPorts.haveChanged(this.#networks()) && this.#linksChanged(),
      checkStaticEntries: () =>
        void this.#staticEntries
          .haveChanged(this.#networks())
          .then(changed => changed && this.#linksChanged()),
      checkBgpd: () => this.#bgpd.hasChanged(this.#networks()) && this.#linksChanged(),
      checkSocket: () => void server.restore(),
      followed: () => this.#files,
      checkLegacyRules: () =>
        void this.#legacyRules.haveChanged().then(haveChanged => {
          if (!haveChanged) return;
          this.#linksChanged();
          this.#waysChanged();
        }),
      askPeers: () => {
        void this.#peers.request();
        this.#sharedLedgers.request();
      },
    });
  }

  #establish(): Promise<void> {
    return establishAll(this.#networks(), this.#report);
  }

  /** Repairs what other programs changed. Returns whether a step took effect. */
  async #scan(): Promise<boolean> {
    const isRepaired = await this.#repairs.repairAll(this.#networks());
    this.#libvirt.reserveOutdated();
    this.#feed.changed();
    return isRepaired;
  }

  /** Compares everything with the configuration: networks, published files and machines. */
  async #reconcile(): Promise<void> {
    try {
      if (this.#configuration.isOutdated()) void this.#reload.request();
      this.#rescan.request();
      publishAll(this.#networks(), this.#report);
      await this.#metricsServer.listen(this.#configuration.current.metrics);
      this.#feed.changed();
      removeAllDeadTemporaries(this.#networks());
      if (await this.#libvirt.reconcileAll()) this.#metrics.lastReconcile.setToCurrentTime();
    } catch (error) {
      this.#report([{ kind: 'failed', during: 'reconcile', error: error as Error }]);
    }
  }

  async #reloadConfiguration(): Promise<void> {
    const reloaded = this.#configuration.reload();
    if (reloaded.kind === 'rejected') {
      if (reloaded.isNew) this.#report([{ kind: 'configuration-rejected', error: reloaded.error }]);
      return;
    }
    this.#report([{ kind: 'configuration-applied' }]);
    await takeDownAll(reloaded.removed, this.#report);
    await this.#sharedLedgers.apply();
    await this.#establish();
    void this.#peers.request();
    await this.#reconcile();
    await this.#libvirt.arrangeNetworks();
  }

  #routes() {
    return createRoutes({
      startHookTimer: hook => this.#metrics.hookSeconds.startTimer({ hook }),
      report: this.#report,
      hooks: hookHandlers(() => this.#configuration.current, this.#starts, {
        establish: () => this.#establish(),
        report: this.#report,
      }),
      reconcileMachine: name => this.#libvirt.reconcileNamed(name),
      status: () => this.#status(),
      follow: output => this.#feed.add(output),
      metrics: () => this.#renderMetrics(),
    });
  }

  async #renderMetrics(): Promise<Answer> {
    const body = await this.#metrics.render(this.#networks(), await this.#feed.current());
    return { status: 200, type: this.#metrics.contentType, body };
  }

  async #status(): Promise<Status> {
    return mergeStatus(await collectStatus(this.#configuration.current), {
      pid: process.pid,
      libvirt: this.#libvirt.isConnected ? 'connected' : 'disconnected',
      configurationProblem: this.#configuration.problem,
      metricsProblem: this.#metricsServer.problem,
      usedUpInotify: this.#files.map(({ usedUp }) => usedUp).find(limit => limit !== null) ?? null,
      libvirtProblems: this.#libvirt.problems,
      fights: [...this.#repairs.fights(), ...this.#libvirt.fights],
      failures: this.#repairs.failures(),
      lastProbe: network => this.#probes.last(network),
      askedPeers: network => this.#peers.of(network),
      cluster: network => this.#sharedLedgers.of(network),
    });
  }
}
