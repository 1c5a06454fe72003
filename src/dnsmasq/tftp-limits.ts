// Sets how many files dnsmasq sends by TFTP at once, and how many one machine may ask for.

/** The requests of a machine: a boot loader may ask for a hundred files (modules of GRUB), and most for a few. */
export const filesPerMinute = 6;
export const filesAtOnce = 150;

/**
 * The files at once; 50 is dnsmasq's own number. It gives up one that a machine does not take after 30 s, and none that
 * it takes slowly (2.90). Each has a descriptor: where there are fewer, dnsmasq takes a lower number by itself.
 */
export const sentFiles = 512;
