/** The queue: which row is open, and bringing it up to date without losing focus or place. */

import htmx from "htmx.org";

type HtmxAjaxOptions = Parameters<typeof htmx.ajax>[2];

export const openId = (): string | undefined =>
  document.getElementById("conversation-head")?.dataset["id"];

export function rowLinks(): HTMLAnchorElement[] {
  return [...document.querySelectorAll<HTMLAnchorElement>("#rows .queue-row > a")];
}

function markOpen(id: string | undefined): void {
  for (const link of rowLinks()) {
    if (link.dataset["conversation"] === id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

let isAsking = false;
let isStale = false;

const shownQuery = (): string | undefined => document.querySelector<HTMLElement>(".queue-head")?.dataset["query"];

/** Load as many rows as are shown; asked for while loading, once more afterwards. */
export async function refreshQueue(): Promise<void> {
  if (!shownQuery()) return;
  isStale = true;
  if (isAsking) return;
  isAsking = true;
  while (isStale) {
    isStale = false;
    const query = shownQuery();
    const url = new URL(query ?? "/inbox/queue", location.href);
    url.searchParams.set("shown", String(rowLinks().length));
    const id = openId();
    if (id) url.searchParams.set("open", id);
    await htmx.ajax("GET", url.pathname + url.search, {
      source: "#queue",
      target: "#queue",
      swap: "innerMorph",
      refreshOf: query,
    } as HtmxAjaxOptions);
  }
  isAsking = false;
}

export function followRow(): void {
  // A refresh that was overtaken by another tab or a search brings the wrong rows.
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: { refreshOf?: string } }>).detail;
    if (ctx.refreshOf !== undefined && ctx.refreshOf !== shownQuery()) event.preventDefault();
  });
  document.addEventListener("htmx:before:request", (event) => {
    const row = (event.target as Element).closest<HTMLElement>("[data-conversation]");
    if (row?.closest("#rows")) markOpen(row.dataset["conversation"]);
  });
}
