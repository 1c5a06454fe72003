// The page for Cockpit of one of three hosts that share their ledgers: the other hosts, their machines, and etcd, live.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import type { Browser, Page } from 'playwright-core';
import { suite } from 'uvu';
import { addPrograms } from '../clients/client-host.ts';
import {
  cockpitCommand,
  cockpitEnvironment,
  installPage,
  openPage,
  pageUrl,
  saveScreenshot,
  startBrowser,
  type View,
} from '../clients/cockpit-page.ts';
import { makeUnderlay } from '../sandbox/cluster-hosts.ts';
import { installVirlan } from '../sandbox/host.ts';
import { killMember, startEtcd, startMember } from './etcd.ts';
import { at, define, hosts, startHosts, startLibvirtd, virsh } from './shared-hosts.ts';

const cockpit = suite('cockpit in a cluster');
const port = 9091;

let browser: Browser;
let view: View;
/** The address of a machine of the first host. */
let address: string | null;

/** Returns the row of a machine in the table. */
function rowOf(page: Page, name: string) {
  return page.getByRole('row').filter({ hasText: new RegExp(`^${name}`) });
}

function itemOf(page: Page, list: string, text: string) {
  return page.getByRole('list', { name: list, exact: true }).getByRole('listitem').filter({ hasText: text });
}

cockpit.before(async () => {
  await addPrograms();
  await installVirlan();
  installPage();
  await makeUnderlay();
  // The browser is on none of the hosts.
  await execa('ip', ['address', 'add', '10.0.0.100/24', 'dev', 'underlay']);
  await startEtcd();
  await startHosts();
  for (const host of hosts.slice(0, 2)) await startLibvirtd(host);
  ({ ip: address } = await define(at(0), 'far'));
  await define(at(1), 'near');
  const variables = Object.entries(cockpitEnvironment).map(([name, value]) => `${name}=${value}`);
  const command = ['env', ...variables, ...cockpitCommand(at(1).address, port)];
  await at(1).run('sh', '-c', '"$@" > /dev/null 2>&1 &', 'sh', ...command);
  const url = await pageUrl(at(1).address, port);
  browser = await startBrowser();
  view = await openPage(browser, url, { height: 1250 });
});

cockpit.after(() => browser?.close());

cockpit('the other hosts, etcd and the machines of all hosts are shown', async () => {
  const { page } = view;
  await itemOf(page, 'Other hosts', '10.0.0.1')
    .getByText(/answers/)
    .waitFor();
  await itemOf(page, 'Shared ledger', 'etcd')
    .getByText(/connected to .+ in reserve/)
    .waitFor();
  await itemOf(page, 'Shared ledger', '10.0.0.1')
    .getByText(/its watcher runs; 1 machine$/)
    .waitFor();
  await itemOf(page, 'Shared ledger', '10.0.0.3')
    .getByText(/its watcher runs; 0 machines/)
    .waitFor();
  await rowOf(page, 'near').getByText('shut off').waitFor();
  await rowOf(page, 'far').getByText('on 10.0.0.1').waitFor();
  assert(address);
  await rowOf(page, 'far').getByText(address, { exact: true }).waitFor();
  assert.equal(await rowOf(page, 'near').getByRole('button', { name: 'near' }).count(), 1);
  assert.equal(await rowOf(page, 'far').getByRole('button').count(), 0);
  await saveScreenshot(page, 'cluster');
});

cockpit('a machine of another host appears and goes without a reload, and is found by its host', async () => {
  const { page } = view;
  await define(at(0), 'later');
  await rowOf(page, 'later').getByText('on 10.0.0.1').waitFor();
  await page.getByLabel('State', { exact: true }).selectOption('On other hosts');
  await rowOf(page, 'near').waitFor({ state: 'hidden' });
  await rowOf(page, 'far').waitFor();
  await page.getByLabel('State', { exact: true }).selectOption('All machines');
  await virsh(at(0), 'undefine', 'later');
  await at(0).virlan('forget', 'later');
  await rowOf(page, 'later').waitFor({ state: 'hidden' });
});

cockpit('a host whose watcher ends is away, and alive again with the next watcher', async () => {
  const { page } = view;
  await at(2).endWatch();
  await itemOf(page, 'Shared ledger', '10.0.0.3').getByText(/away/).waitFor();
  await at(2).watch();
  await itemOf(page, 'Shared ledger', '10.0.0.3')
    .getByText(/its watcher runs/)
    .waitFor();
});

cockpit('an etcd without a quorum is away, with the reason, and is connected again afterwards', async () => {
  const { page, complaints } = view;
  await killMember(0);
  await killMember(1);
  await itemOf(page, 'Shared ledger', 'etcd')
    .getByText(/away: \S.*in reserve/)
    .waitFor();
  await itemOf(page, 'Shared ledger', '10.0.0.1')
    .getByText(/not known while etcd is away/)
    .waitFor();
  await rowOf(page, 'far').getByText('on 10.0.0.1').waitFor();
  startMember(0);
  startMember(1);
  await itemOf(page, 'Shared ledger', 'etcd')
    .getByText(/connected to/)
    .waitFor();
  assert.deepEqual(complaints, []);
});

cockpit.run();
