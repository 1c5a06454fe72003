declare const VIRLAN_VERSION: string;

/** The version in package.json, put in when the program is bundled. */
export const version: string = VIRLAN_VERSION;
