/** The thread: stays at its end while new messages come, keeps its place while older ones are put above. */

import htmx from "htmx.org";

const NEAR = 120;

export class MessageThread extends HTMLElement {
  private isAtEnd = true;
  private heightBefore: number | null = null;

  connectedCallback(): void {
    this.addEventListener("scroll", this.onScroll, { passive: true });
    this.addEventListener("htmx:before:swap", this.beforeSwap);
    this.addEventListener("htmx:after:swap", this.afterSwap);
    new ResizeObserver(() => this.isAtEnd && this.toEnd()).observe(this);
    requestAnimationFrame(() => this.toEnd());
  }

  /** The oldest message shown, for a refresh of everything since. */
  get first(): number | null {
    const numbers = [...this.querySelectorAll(".message")].map((item) => Number(item.id.slice("message-".length)));
    return numbers.length ? Math.min(...numbers) : null;
  }

  /** Ids of the customer's messages. */
  get incoming(): Set<string> {
    return new Set([...this.querySelectorAll('.message[data-direction="in"]')].map((item) => item.id));
  }

  toEnd(): void {
    this.scrollTop = this.scrollHeight;
  }

  /** After a refresh: follow the newest message if the reader was there. */
  settle(): void {
    if (this.isAtEnd) this.toEnd();
  }

  private onScroll = (): void => {
    this.isAtEnd = this.scrollHeight - this.scrollTop - this.clientHeight < NEAR;
    const older = this.querySelector("#older a");
    if (older && this.scrollTop < NEAR && !older.classList.contains("htmx-request")) htmx.trigger(older, "older");
  };

  private beforeSwap = (): void => {
    this.heightBefore = this.scrollHeight - this.scrollTop;
  };

  private afterSwap = (): void => {
    if (this.heightBefore === null) return;
    this.scrollTop = this.scrollHeight - this.heightBefore;
    this.heightBefore = null;
    const days = new Set<string>();
    for (const day of this.querySelectorAll(".thread-day")) {
      if (days.has(day.id)) day.remove();
      days.add(day.id);
    }
  };
}
