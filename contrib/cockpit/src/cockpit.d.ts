// The parts of Cockpit's library that the page uses: Cockpit serves it as ../base1/cockpit.js.

/** An error of a channel. `problem` is a code, such as `access-denied` or `not-found`. */
interface CockpitProblem {
  readonly problem: string | null;
  readonly message: string;
}

/** A process of the host. It is a promise of its standard output. */
interface CockpitProcess extends PromiseLike<string> {
  /** Calls back with standard output as it arrives; the promise then has none. */
  stream(callback: (text: string) => void): CockpitProcess;
}

interface CockpitRequest {
  stream(callback: (text: string) => void): CockpitRequest;
  then(done: () => void, failed: (problem: CockpitProblem) => void): unknown;
  close(): void;
}

interface CockpitHttp {
  get(path: string): CockpitRequest;
}

interface CockpitSpawnOptions {
  readonly superuser: 'require';
  readonly err: 'message' | 'ignore';
  readonly environ?: readonly string[];
}

declare const cockpit: {
  http(socket: string, options: { readonly superuser: 'require' }): CockpitHttp;
  spawn(command: readonly string[], options: CockpitSpawnOptions): CockpitProcess;
};
