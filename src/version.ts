// The version of virlan.

declare const VIRLAN_VERSION: string;

/** The version in package.json: build.mjs defines VIRLAN_VERSION. */
export const version: string = VIRLAN_VERSION;
