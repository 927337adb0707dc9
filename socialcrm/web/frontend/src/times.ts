/** Keeps "5 min" true while a page stays open. */

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

function length(seconds: number): string {
  const [unit, size] = STEPS.find(([, size]) => seconds >= size) ?? ["second", 1];
  const lang = document.documentElement.lang;
  const locale = lang === "ar" ? "ar-DZ-u-nu-latn" : lang;
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "narrow" }).format(Math.floor(seconds / size));
}

function renew(): void {
  const now = Date.now();
  for (const time of document.querySelectorAll<HTMLTimeElement>("time[data-ago], time[data-duration], time[data-countdown]")) {
    const passed = (now - Date.parse(time.dateTime)) / 1000;
    const seconds = "countdown" in time.dataset ? Math.abs(passed) : Math.max(0, passed);
    if ("ago" in time.dataset && seconds >= 7 * 86_400) continue; // a date: stays as it is
    const text = length(seconds);
    if (time.textContent !== text) time.textContent = text;
  }
}

export function keepTimes(): void {
  setInterval(renew, 20_000);
}
