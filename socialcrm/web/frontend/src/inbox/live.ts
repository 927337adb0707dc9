/** Follows the stream of changes: refreshes the queue and the open thread, says what is new, tells when the line is cut. */

import htmx from "htmx.org";
import { openId, refreshQueue } from "./queue";
import type { MessageThread } from "./thread";
import { hideTyping, showTyping } from "./typing";

interface Change {
  conversation: number;
  kind: string;
}

const GATHER_MS = 150;
const CUT_MS = 1500;
const AGAIN_MS = 3000;
const LONGEST_TIMER = 2 ** 31 - 2000; // a longer one would ring at once

export class LiveUpdates extends HTMLElement {
  private gathering: number | undefined;
  private cut: number | undefined;
  private closing: number | undefined;
  private isOpenChanged = false;

  connectedCallback(): void {
    this.addEventListener("changes", this.onChanges);
    this.addEventListener("reset", this.onReset);
    this.addEventListener("htmx:sse:after:connection", this.onConnected);
    this.addEventListener("htmx:sse:before:connection", this.onCut);
    this.addEventListener("htmx:sse:error", this.onCut);
    this.addEventListener("htmx:error", this.onNoStart);
    document.addEventListener("htmx:after:swap", this.afterSwap);
    document.addEventListener("visibilitychange", this.markSeen);
    this.markSeen();
    this.watchWindow();
  }

  disconnectedCallback(): void {
    clearTimeout(this.gathering);
    clearTimeout(this.cut);
    clearTimeout(this.closing);
    document.removeEventListener("htmx:after:swap", this.afterSwap);
    document.removeEventListener("visibilitychange", this.markSeen);
  }

  private onChanges = (event: Event): void => {
    const all = JSON.parse((event as CustomEvent<{ data: string }>).detail.data) as Change[];
    if (all.some((change) => change.kind === "contact_typing" && String(change.conversation) === openId())) showTyping();
    const changes = all.filter((change) => !change.kind.endsWith("_typing"));
    if (!changes.length) return;
    this.isOpenChanged ||= changes.some((change) => String(change.conversation) === openId());
    this.gather();
  };

  private onReset = (): void => {
    this.isOpenChanged = true;
    this.gather();
  };

  /** Several changes in a row are one refresh. */
  private gather(): void {
    this.gathering ??= window.setTimeout(() => {
      this.gathering = undefined;
      void refreshQueue();
      if (this.isOpenChanged) void this.refreshThread();
      this.isOpenChanged = false;
    }, GATHER_MS);
  }

  private async refreshThread(): Promise<void> {
    const head = document.getElementById("conversation-head");
    const thread = document.querySelector<MessageThread>("message-thread");
    if (!head || !thread) return;
    const url = new URL(head.dataset["live"] ?? "", location.href);
    if (thread.first !== null) url.searchParams.set("from", String(thread.first));
    const known = thread.incoming;
    await htmx.ajax("GET", url.pathname + url.search, { source: "#conversation", swap: "none" });
    if ([...thread.incoming].some((id) => !known.has(id))) {
      hideTyping();
      this.announce();
    }
  }

  private announce(): void {
    const name = document.getElementById("conversation-head")?.dataset["contact"] ?? "";
    const place = document.getElementById("announcer");
    if (place) place.textContent = (this.dataset["new"] ?? "").replace("{name}", name);
  }

  private afterSwap = (event: Event): void => {
    const { ctx } = (event as CustomEvent<{ ctx: { request?: { method: string }; target?: Element } }>).detail;
    document.querySelector<MessageThread>("message-thread")?.settle();
    this.markSeen();
    this.watchWindow();
    const isOpened = ctx.target?.id === "conversation" && ctx.request?.method === "GET";
    if (isOpened || ctx.request?.method === "POST") void refreshQueue();
  };

  /** The open conversation counts as read while somebody looks at it. */
  private markSeen = (): void => {
    const head = document.getElementById("conversation-head");
    if (!head || document.hidden || !Number(head.dataset["unread"])) return;
    head.dataset["unread"] = "0";
    void htmx.ajax("POST", head.dataset["seen"] ?? "", { source: head, swap: "none" });
  };

  /** When the time for answers is over, the page says so by itself. */
  private watchWindow(): void {
    clearTimeout(this.closing);
    const until = Date.parse(document.getElementById("window")?.dataset["until"] ?? "");
    const left = until - Date.now();
    if (left > 0 && left < LONGEST_TIMER) this.closing = window.setTimeout(() => void this.refreshThread(), left + 1000);
  }

  private onConnected = (): void => {
    clearTimeout(this.cut);
    this.cut = undefined;
    this.show(false);
  };

  private onCut = (event: Event): void => {
    const { status } = (event as CustomEvent<{ status?: number }>).detail;
    if (status === 401) location.reload();
    if (!document.hidden) this.cut ??= window.setTimeout(() => this.show(true), CUT_MS);
  };

  /** The very first connection failed: the extension only takes care of later ones. */
  private onNoStart = (event: Event): void => {
    if (event.target !== this) return;
    this.show(true);
    window.setTimeout(() => htmx.process(this, true), AGAIN_MS);
  };

  private show(isCut: boolean): void {
    const sign = document.getElementById("reconnecting");
    if (sign) sign.hidden = !isCut;
  }
}
