// package.ts: which package the tests of packages install: that of this Debian, the first argument of a test file.

/** Whether the package has its own Node.js: Debian 12 has an older one than virlan needs. */
export const isStandalone = process.argv[2] === 'debian12';
export const packageName = isStandalone ? 'virlan-standalone' : 'virlan';
