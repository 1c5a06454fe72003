// Times in the words of the browser's language and time zone.

const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'medium' });

/** Returns a time of virlan's, such as `2026-11-22T10:00:00Z`, for people; another text as it is. */
export function localTime(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : format.format(date);
}
