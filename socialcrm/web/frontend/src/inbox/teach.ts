/** The popover in which an agent says what a message is: opened beside its button, closed when it is saved. */

import htmx from "htmx.org";

const NARROW = "(max-width: 760px)"; // there the style sheet puts it at the bottom
const GAP = 6;

let opener = "";

const popover = (): HTMLElement | null => document.getElementById("teach");
const shortcut = (): HTMLAnchorElement | undefined =>
  [...document.querySelectorAll<HTMLAnchorElement>('.message[data-direction="in"] a[data-teach]')].at(-1);

/** Open it for the customer's newest message: c. */
export const teachNewest = (): void => shortcut()?.click();

function put(place: HTMLElement, beside: Element): void {
  place.style.removeProperty("top");
  place.style.removeProperty("left");
  if (matchMedia(NARROW).matches) return;
  const [box, page] = [beside.getBoundingClientRect(), document.documentElement];
  const [width, height] = [place.offsetWidth, place.offsetHeight];
  const start = page.dir === "rtl" ? box.right - width : box.left;
  const top = box.bottom + GAP + height > page.clientHeight ? box.top - GAP - height : box.bottom + GAP;
  place.style.left = `${Math.max(GAP, Math.min(start, page.clientWidth - width - GAP))}px`;
  place.style.top = `${Math.max(GAP, Math.min(top, page.clientHeight - height - GAP))}px`;
}

async function open(link: HTMLAnchorElement): Promise<void> {
  const place = popover();
  if (!place) return;
  opener = link.id;
  place.replaceChildren();
  await htmx.ajax("GET", link.pathname + link.search, { source: "#teach", target: "#teach", swap: "innerHTML" });
  if (!place.firstElementChild || opener !== link.id) return;
  place.showPopover();
  put(place, link);
  place.querySelector<HTMLElement>("input:checked")?.focus({ preventScroll: true });
}

function close(): void {
  popover()?.hidePopover();
  document.getElementById(opener)?.focus();
}

export function listenToTeaching(): void {
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest<HTMLAnchorElement>("a[data-teach]");
    if (link && popover()) {
      event.preventDefault();
      void open(link);
    } else if (event.target.closest("#teach [data-close]")) close();
  });
  document.addEventListener("htmx:after:request", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: { sourceElement?: Element; request?: { method: string }; response?: { status: number } } }>).detail;
    const isSaved = ctx.request?.method === "POST" && (ctx.response?.status ?? 500) < 400;
    if (isSaved && ctx.sourceElement?.closest("#teach")) document.addEventListener("htmx:after:swap", close, { once: true });
  });
}
