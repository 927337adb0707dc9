/** The blind sample by keyboard: numbers answer, s skips, u takes back. */

let isAsking = false;

/** The key by its place, so that digits need no Shift on a French keyboard and letters work on an Arabic one. */
function keyOf(event: KeyboardEvent): string {
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  return digit ?? /^Key([A-Z])$/.exec(event.code)?.[1]?.toLowerCase() ?? "";
}

export function judgeByKeys(): void {
  document.addEventListener("keydown", (event) => {
    const sample = document.getElementById("sample");
    if (!sample || isAsking || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = keyOf(event);
    const button = key ? sample.querySelector<HTMLButtonElement>(`button[data-key="${key}"]`) : null;
    if (!button) return;
    event.preventDefault();
    button.click();
  });
  const ours = (event: Event): boolean => event.target instanceof Element && event.target.closest("#sample") !== null;
  document.addEventListener("htmx:before:request", (event) => {
    if (ours(event)) isAsking = true;
  });
  // The form that asked is gone when its answer is there: these come from whatever is left.
  for (const name of ["htmx:after:swap", "htmx:response:error", "htmx:error"]) {
    document.addEventListener(name, () => {
      if (isAsking) document.getElementById("sample-question")?.focus();
      isAsking = false;
    });
  }
}
