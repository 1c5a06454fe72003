// Sets how many questions dnsmasq keeps while it waits for answers, and how many one machine may ask.

/** The questions per second of a machine; hundreds are those of a busy one (a mail server, a node of Kubernetes). */
export const questionsPerSecond = 500;
export const questionsAtOnce = 1000;

/**
 * The questions that dnsmasq waits for at once; 150 is its own number. One that nobody answers counts for 10 s (TIMEOUT
 * in config.h of dnsmasq), so that a machine uses up 6,000. Two that ask as much as they may leave room for the others.
 * With 5,000 that wait, 500 more in a second take a fifth of a core (2.90), because it searches a list for each; with
 * 10,000, a thousand take half a core.
 */
export const waitingQuestions = 15_000;
