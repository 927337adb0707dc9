/** Keys of the inbox; none of them works while somebody types. */

import { pickFocused, pickNone } from "./bulk";
import type { ReplyComposer } from "./composer";
import { openId, rowLinks } from "./queue";
import { teachNewest } from "./teach";

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=radio]), textarea, select"));

function move(step: number): void {
  const links = rowLinks();
  const focused = links.indexOf(document.activeElement as HTMLAnchorElement);
  const open = links.findIndex((link) => link.dataset["conversation"] === openId());
  const from = focused >= 0 ? focused : open;
  const next = links[Math.min(Math.max(from + step, 0), links.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** The row that has the focus, else the one that is open. */
function focusedRow(): HTMLElement | undefined {
  const links = rowLinks();
  return links.find((link) => link === document.activeElement) ?? links.find((link) => link.dataset["conversation"] === openId());
}

function assignToMe(): void {
  const take = document.getElementById("take-button");
  if (take) return take.click();
  const choice = document.querySelector<HTMLSelectElement>("#assignee");
  const me = choice?.dataset["me"];
  if (!choice || !me || choice.value === me) return;
  choice.value = me;
  choice.dispatchEvent(new Event("change", { bubbles: true }));
}

function leave(): void {
  if (document.activeElement instanceof HTMLElement && isTyping(document.activeElement)) {
    document.activeElement.blur();
    return;
  }
  if (pickNone()) return;
  const row = rowLinks().find((link) => link.dataset["conversation"] === openId());
  (row ?? rowLinks()[0])?.focus();
}

const composer = (): ReplyComposer | null => document.querySelector<ReplyComposer>("reply-composer");

const KEYS: Record<string, () => void> = {
  j: () => move(1),
  k: () => move(-1),
  r: () => composer()?.write("reply"),
  n: () => composer()?.write("note"),
  p: () => [...document.querySelectorAll<HTMLElement>("#thread a[data-private]")].at(-1)?.click(),
  e: () => document.getElementById("status-button")?.click(),
  a: assignToMe,
  c: teachNewest,
  x: () => pickFocused(focusedRow()),
  "/": () => document.getElementById("search")?.focus(),
  "?": () => document.querySelector<HTMLDialogElement>("#keys")?.showModal(),
};

export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (!document.querySelector(".inbox") || document.querySelector("dialog[open], :popover-open")) return;
    if (event.key === "Escape") return leave();
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const inQueue = event.target instanceof Element && event.target.closest("#rows") !== null;
    const key = inQueue && event.key === "ArrowDown" ? "j" : inQueue && event.key === "ArrowUp" ? "k" : event.key;
    const act = KEYS[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
