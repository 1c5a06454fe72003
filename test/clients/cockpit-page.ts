// The page in a real browser: Cockpit's own web server without a login, and Chromium.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { until } from '../sandbox/until.ts';
import { checkout } from '../sandbox/virlan.ts';

/** Is a bundle of its own, which is not part of the test's. */
const { chromium }: typeof import('playwright-core') = createRequire(
  `${checkout}/contrib/cockpit/package.json`,
)('playwright-core');

/** Installs the page that contrib/cockpit/build.mjs has made. */
export function installPage(): void {
  cpSync(`${checkout}/contrib/cockpit/dist`, '/usr/share/cockpit/virlan', { recursive: true });
}

/** Writes a picture of the window for the documents, if run.mjs was given a directory for them. */
export async function saveScreenshot(page: Page, name: string): Promise<void> {
  const directory = process.argv[3];
  if (directory !== undefined) await page.screenshot({ path: `${directory}/cockpit-${name}.png` });
}

const servers: ChildProcess[] = [];

/** The environment of Cockpit's web server. */
export const cockpitEnvironment = { HOME: '/tmp', XDG_RUNTIME_DIR: '/tmp', LANG: 'C.UTF-8' };

/** Returns the command line of Cockpit's web server, for a session of the user who runs it. */
export function cockpitCommand(address: string, port: number): string[] {
  return [
    ...['/usr/lib/cockpit/cockpit-ws', '--no-tls', `--address=${address}`, `--port=${port}`],
    '--local-session=/usr/bin/cockpit-bridge',
  ];
}

/** Starts Cockpit's web server for a session of a user, and returns the URL of virlan's page. */
export async function startCockpit(port: number, user: 'root' | 'nobody' = 'root'): Promise<string> {
  const command = cockpitCommand('127.0.0.1', port);
  const [program = '', ...args] =
    user === 'root'
      ? command
      : ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups', ...command];
  const env = { PATH: process.env.PATH, ...cockpitEnvironment };
  servers.push(spawn(program, args, { env, stdio: ['ignore', 'inherit', 'inherit'] }));
  return pageUrl('127.0.0.1', port);
}

/** Waits for Cockpit's web server. Returns the URL of virlan's page. */
export async function pageUrl(address: string, port: number): Promise<string> {
  await until(() => answers(address, port), 30);
  return `http://${address}:${port}/cockpit/@localhost/virlan/index.html`;
}

async function answers(address: string, port: number): Promise<boolean> {
  const socket = connect(port, address);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Ends all servers. */
export function stopCockpit(): void {
  for (const server of servers.splice(0)) server.kill();
}

/** Starts a browser. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    // Not the script that Debian wraps around it, which looks for a desktop.
    executablePath: '/usr/lib/chromium/chromium',
    env: { HOME: '/tmp', LD_LIBRARY_PATH: '/usr/lib/x86_64-linux-gnu/pulseaudio' },
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    timeout: 120_000,
  });
}

export interface View {
  readonly page: Page;
  /** Messages of the browser about scripts that failed, and about what the security policy forbade. */
  readonly complaints: string[];
}

/** Opens the page in a window of its own. */
export async function openPage(
  browser: Browser,
  address: string,
  { width = 1200, height = 900, colorScheme = 'light' as 'light' | 'dark' } = {},
): Promise<View> {
  const context: BrowserContext = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on('pageerror', error => complaints.push(error.message));
  page.on('console', message => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(address);
  return { page, complaints };
}
