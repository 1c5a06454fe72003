// The page for Cockpit in a real browser, with Cockpit's own server and bridge, real machines and real faults.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import type { Browser, Page } from 'playwright-core';
import { suite } from 'uvu';
import { formulaAddressOf } from '../sandbox/formula-values.ts';
import { configure, define, destroyMachine, domainXml, startMachine, virlan } from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { get, startWatcher, stopWatcher } from '../sandbox/watcher.ts';
import { startHost } from './client-host.ts';
import {
  installPage,
  openPage,
  saveScreenshot,
  startBrowser,
  startCockpit,
  stopCockpit,
  type View,
} from './cockpit-page.ts';

const cockpit = suite('cockpit');
const hostile = '<img src=x onerror="document.title=1"> & "quoted"';
const networks =
  '[network.k8s-br0]\nstp = no\n[network.lab]\nsubnet = 192.168.101.0/24\nstp = no\nmode = isolated\n';

let browser: Browser;
let address: string;
let view: View;

const nic = { type: 'bridge', source: 'k8s-br0' } as const;

function onBridge(name: string): string {
  return domainXml({ name, nics: [nic] });
}

/** Returns the row of a machine in the table. */
function rowOf(page: Page, name: string) {
  return page.getByRole('row').filter({ has: page.getByRole('button', { name, exact: true }) });
}

async function problemsOf(network = 0): Promise<string[]> {
  // The watcher may be busy for a moment.
  const { networks: shown = [] } = JSON.parse((await get('/status')) ?? '{}');
  return (shown[network]?.faults ?? []).map(({ code }: { code: string }) => code);
}

cockpit.before(async () => {
  await startHost(networks);
  installPage();
  for (const name of ['web', 'db', hostile]) await define(onBridge(name));
  await startMachine('web');
  address = await startCockpit(9091);
  browser = await startBrowser();
  view = await openPage(browser, address);
});

// A dialog that a failed test has left open is in the way of the next one.
cockpit.before.each(() => view.page.keyboard.press('Escape'));

cockpit.after(async () => {
  await browser?.close();
  stopCockpit();
});

cockpit('machines are listed with their addresses, and hostile names are text', async () => {
  const { page } = view;
  await rowOf(page, 'web').getByText(formulaAddressOf('web')).first().waitFor();
  await rowOf(page, 'web').getByText('running').waitFor();
  await rowOf(page, 'db').getByText('shut off').waitFor();
  await rowOf(page, hostile).waitFor();
  assert.equal(await page.title(), 'Virtual networks');
  assert.equal(await page.locator('img').count(), 0);
  assert.match(
    (await page.getByRole('img', { name: /^k8s-br0: / }).getAttribute('aria-label')) ?? '',
    /3 machines/,
  );
  await saveScreenshot(page, 'network');
});

cockpit('a machine that starts and one that stops are seen without a reload', async () => {
  const { page } = view;
  await startMachine('db');
  await rowOf(page, 'db').getByText('running').waitFor();
  await destroyMachine('db');
  await rowOf(page, 'db').getByText('shut off').waitFor();
});

cockpit('the table is sorted and filtered by the keyboard alone', async () => {
  const { page } = view;
  const names = () => page.locator('tbody').getByRole('button').allInnerTexts();
  await page.getByRole('button', { name: 'Machine', exact: true }).focus();
  await page.keyboard.press('Enter');
  await until(async () => (await names()).join() === ['web', 'db', hostile].join());
  await page.getByRole('textbox', { name: 'Search machines' }).focus();
  await page.keyboard.type('shut WEB');
  await page.getByText('No machine is like that').waitFor();
  await page.keyboard.press('Control+A');
  await page.keyboard.type('web run');
  await until(async () => (await names()).join() === 'web');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await until(async () => (await names()).length === 3);
});

cockpit('a forward is added and removed in the dialog of a machine, and its history is there', async () => {
  const { page } = view;
  await rowOf(page, 'web').getByRole('button', { name: 'web', exact: true }).press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('address reserved').first().waitFor();
  await dialog.getByText('Why it has this address').click();
  await dialog.getByText(`address ${formulaAddressOf('web')}: `).waitFor();
  await dialog.getByLabel('Port of the host').fill('8443');
  await dialog.getByLabel('Port of the machine').fill('443');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await dialog.getByRole('listitem').filter({ hasText: 'tcp/8443:443' }).getByText('active').waitFor();
  const forwards = async () => (await virlan('forward', '--json', 'web')).stdout;
  assert.match(await forwards(), /"tcp\/8443:443"/);
  await saveScreenshot(page, 'machine');
  await dialog.getByRole('button', { name: 'Remove tcp/8443:443' }).click();
  await dialog.getByText('no port of the host leads to this machine').waitFor();
  assert.doesNotMatch(await forwards(), /8443/);
  // A port that a program of the host has is refused, with the reason.
  await dialog.getByLabel('Port of the host').fill('9091');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await dialog.getByText(/9091/).first().waitFor();
  await dialog.getByRole('button', { name: 'Remove tcp/9091' }).click();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
});

cockpit('a fault that the watcher leaves alone is seen, compared, and repaired by one click', async () => {
  const { page } = view;
  // Another program that takes the bridge down again and again: virlan stops to repair it.
  await until(async () => {
    await execa('ip', ['link', 'set', 'k8s-br0', 'down']);
    return (await problemsOf()).includes('fight');
  }, 60);
  await execa('ip', ['link', 'set', 'k8s-br0', 'down']);
  await page.getByRole('button', { name: 'Show changes' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('k8s-br0').first().waitFor();
  await dialog.getByRole('button', { name: 'Apply' }).waitFor();
  await saveScreenshot(page, 'changes');
  await page.keyboard.press('Escape');
  const repair = page.getByRole('button', { name: 'Repair', exact: true }).first();
  await repair.waitFor();
  assert.match(
    (await page.getByRole('img', { name: /^k8s-br0: / }).getAttribute('aria-label')) ?? '',
    /broken/,
  );
  await saveScreenshot(page, 'broken');
  await repair.click();
  await until(async () => !(await problemsOf()).includes('drift'), 30);
  await repair.waitFor({ state: 'hidden' });
});

cockpit(
  'rules that are flushed and a bridge that is deleted are mended, and the history says so',
  async () => {
    const { page } = view;
    const repairs = () =>
      execa('grep', ['-c', '"network-repaired"', '/var/log/virlan.log'], { reject: false });
    const before = Number((await repairs()).stdout);
    await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
    await until(async () => Number((await repairs()).stdout) > before, 30);
    await rowOf(page, 'web').getByRole('button', { name: 'web', exact: true }).click();
    await page.getByRole('dialog').getByText('network repaired').first().waitFor();
    await page.keyboard.press('Escape');
  },
);

cockpit('the doctor is a checklist that fills up', async () => {
  const { page } = view;
  await page.getByRole('button', { name: 'Run the doctor' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Checking …').waitFor();
  await dialog.getByText('network lab').first().waitFor();
  await dialog.getByText(/No check failed|Something failed/).waitFor({ timeout: 90_000 });
  assert((await dialog.getByRole('listitem').count()) > 20);
  await saveScreenshot(page, 'doctor');
  await page.keyboard.press('Escape');
});

cockpit('the page is usable at 360 pixels and in dark mode', async () => {
  const { page, complaints } = await openPage(browser, address, { width: 360, colorScheme: 'dark' });
  await page.getByRole('button', { name: 'web', exact: true }).waitFor();
  const width = await page.evaluate<number>('document.documentElement.scrollWidth');
  assert(width <= 360, `${width} pixels wide`);
  const dark = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
  const [red = 255] = (/\d+/.exec(dark) ?? []).map(Number);
  assert(red < 80, dark);
  await saveScreenshot(page, 'phone');
  assert.deepEqual(complaints, []);
  await page.context().close();
});

cockpit('without a watcher the page says so, keeps what it had, and goes on with the next one', async () => {
  const { page } = view;
  await stopWatcher();
  await page.getByText('The watcher of virlan does not run').waitFor();
  await rowOf(page, 'web').waitFor();
  await startWatcher();
  await page.getByText('The watcher of virlan does not run').waitFor({ state: 'hidden' });
});

cockpit('a session without administrative access is told what it needs', async () => {
  const { page } = await openPage(browser, await startCockpit(9092, 'nobody'));
  await page.getByText('Administrative access is needed').waitFor();
  assert.equal(await page.getByRole('table').count(), 0);
  await saveScreenshot(page, 'no-privileges');
  await page.context().close();
});

cockpit('a thousand machines are searched, sorted and turned over within a moment', async () => {
  const { page, complaints } = view;
  // Definitions alone, as libvirt writes them: the page shows what the status lists.
  for (let machine = 0; machine < 1000; machine++) {
    const digits = String(machine).padStart(4, '0');
    const mac = `52:54:00:ff:${digits.slice(0, 2)}:${digits.slice(2)}`;
    const uuid = `00000000-0000-4000-8000-00000000${digits}`;
    const xml = domainXml({ name: `crowd${machine}`, uuid, nics: [{ ...nic, mac }] });
    writeFileSync(`/etc/libvirt/qemu/crowd${machine}.xml`, xml);
  }
  await configure(`${networks}\n`);
  await page.getByText('1 - 20').filter({ visible: true }).first().waitFor();
  await page.getByRole('img', { name: /1003 machines/ }).waitFor();
  const began = performance.now();
  await page.getByRole('textbox', { name: 'Search machines' }).fill('crowd99');
  await rowOf(page, 'crowd999').waitFor();
  await page.getByRole('textbox', { name: 'Search machines' }).fill('crowd');
  await page.getByRole('button', { name: 'Go to next page' }).filter({ visible: true }).first().click();
  await page.getByText('21 - 40').filter({ visible: true }).first().waitFor();
  assert.equal(await page.getByRole('button', { name: /^crowd/ }).count(), 20);
  const tookMs = performance.now() - began;
  console.log(`search, sort and turn over with 1,000 machines: ${tookMs.toFixed(0)} ms`);
  assert(tookMs < 10_000, `${tookMs} ms`);
  await saveScreenshot(page, 'thousand');
  assert.deepEqual(complaints, []);
});

cockpit.run();
