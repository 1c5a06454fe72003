// package.ts: which package the tests of packages install: that of this machine, the first argument of a test file.

/** True if the package has its own Node.js, because that of Debian 12 and Ubuntu 24.04 is older than virlan needs. */
export const isStandalone = process.argv[2] !== 'debian13';
export const packageName = isStandalone ? 'virlan-standalone' : 'virlan';
