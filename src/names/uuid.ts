// The canonical form of a UUID, in which libvirt writes it: a machine's file in the ledger is named by it.

export const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
