/** Choosing several conversations of the queue and moving them at once; what was chosen outlives live updates. */

const chosen = new Set<string>();
let last: string | undefined;

const form = (): HTMLFormElement | null => document.querySelector<HTMLFormElement>("#bulk");

const boxes = (): HTMLInputElement[] => [...document.querySelectorAll<HTMLInputElement>("#rows .queue-pick input")];

/** Boxes, the bar and its count as they should be; the conversations that are not shown any more are let go. */
function show(): void {
  const bar = form();
  if (!bar) return;
  const shown = boxes();
  const known = new Set(shown.map((box) => box.value));
  for (const id of chosen) if (!known.has(id)) chosen.delete(id);
  for (const box of shown) box.checked = chosen.has(box.value);
  document.getElementById("rows")?.classList.toggle("is-picking", chosen.size > 0);
  const count = bar.querySelector<HTMLElement>(".bulk-count");
  if (count) count.textContent = (count.dataset["words"] ?? "").replace("{n}", String(chosen.size));
  const isOpening = bar.hidden && chosen.size > 0;
  bar.hidden = chosen.size === 0;
  if (isOpening) {
    document.getElementById("moved")?.replaceChildren();
    bar.dispatchEvent(new CustomEvent("bulk-opened"));
  }
}

function pick(box: HTMLInputElement, isRange: boolean): void {
  const shown = boxes();
  const from = shown.findIndex((other) => other.value === last);
  const to = shown.indexOf(box);
  const [start, end] = isRange && from >= 0 ? [Math.min(from, to), Math.max(from, to)] : [to, to];
  for (const other of shown.slice(start, end + 1)) {
    if (box.checked) chosen.add(other.value);
    else chosen.delete(other.value);
  }
  last = box.value;
  show();
}

/** The key x: choose the row that has the focus, or is open. */
export function pickFocused(link: HTMLElement | undefined): void {
  const box = link?.closest(".queue-row")?.querySelector<HTMLInputElement>(".queue-pick input");
  if (!box) return;
  box.checked = !box.checked;
  pick(box, false);
}

export function pickNone(): boolean {
  if (!chosen.size) return false;
  chosen.clear();
  show();
  return true;
}

export function moveInBulk(): void {
  document.addEventListener("click", (event) => {
    const target = event.target as Element;
    if (target instanceof HTMLInputElement && target.closest(".queue-pick")) return pick(target, event.shiftKey);
    if (target.closest("#bulk [data-none]")) pickNone();
    if (target.closest("#bulk [data-all]")) {
      for (const box of boxes()) chosen.add(box.value);
      show();
    }
    if (target.closest("[data-close-moved]")) document.getElementById("moved")?.replaceChildren();
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: { target?: Element; request?: { method: string } } }>).detail;
    if (ctx.target?.id === "moved" && ctx.request?.method === "POST") chosen.clear();
    show();
  });
  // A menu in which somebody is choosing is not taken away from under their hands.
  document.addEventListener("htmx:before:request", (event) => {
    if ((event.target as Element).id === "groups" && document.querySelector(".person-menu[open]")) event.preventDefault();
  });
}
