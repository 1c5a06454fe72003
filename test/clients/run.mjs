// run.mjs [--limit SECONDS] [--screenshots DIRECTORY] [NAMEPART...]: runs the tests with clients of libvirt and firmware
// that other people wrote, those whose file name has a NAMEPART. Each runs in a private host, with packages that fetch.sh unpacks.
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { bundle, inPrivateHost, runFile } from '../private-hosts.mjs';

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { limit: { type: 'string', default: '900' }, screenshots: { type: 'string' } },
});
const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/clients`;
const cache = '/var/cache/virlan-test';

/** Test file → the Debian packages that it needs. */
const suites = {
  'ansible-role.test.ts': ['ansible', 'ansible-lint', 'python3-apt'],
  'ansible.test.ts': ['ansible', 'python3-libvirt', 'python3-lxml'],
  'cockpit.test.ts': ['cockpit-ws', 'cockpit-bridge', 'chromium'],
  'kubernetes.test.ts': ['virtinst'],
  'libvirt-tools.test.ts': ['virtinst', 'libnss-libvirt'],
  'netboot.test.ts': ['ovmf'],
  'prometheus.test.ts': ['prometheus'],
  'python.test.ts': ['python3-libvirt'],
  'terraform.test.ts': [
    'golang-go',
    'golang-github-hashicorp-hcl-v2-dev',
    'golang-github-apparentlymart-go-cidr-dev',
  ],
  'vagrant.test.ts': ['vagrant', 'vagrant-libvirt', 'dropbear-bin', 'openssh-client'],
};
const chosen = Object.entries(suites).filter(
  ([file]) => wanted.length === 0 || wanted.some(part => file.includes(part)),
);
await bundle(
  chosen.map(([file]) => `${import.meta.dirname}/${file}`),
  built,
);

/** Returns the directory of the unpacked packages, or null after saying why there is none. */
function fetch(file, packages) {
  console.log(`>> ${file} needs ${packages.join(', ')}`);
  const args = [`${import.meta.dirname}/fetch.sh`, cache, ...packages];
  try {
    return execFileSync('sh', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch (error) {
    console.log(`--- ${file}: FAILED: these Debian packages cannot be fetched:\n${error.stderr.trim()}\n`);
    return null;
  }
}

/** The directory of pictures of pages: not below the checkout, which the private host cannot change. */
const screenshots = options.screenshots === undefined ? [] : [options.screenshots];

const totals = { passed: 0, failed: 0 };
for (const [file, packages] of chosen) {
  const unpacked = fetch(file, packages);
  const { passed, failed } =
    unpacked === null
      ? { passed: 0, failed: 1 }
      : await runFile(file, inPrivateHost(file, built, unpacked, ...screenshots), Number(options.limit));
  totals.passed += passed;
  totals.failed += failed;
}

console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
