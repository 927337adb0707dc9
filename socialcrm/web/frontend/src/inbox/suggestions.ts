/** Suggested answers above the composer: fetched when the thread is there, put into the text on a click or Alt+1 to 3. */

import type { ReplyComposer } from "./composer";

const KEYS = ["Digit1", "Digit2", "Digit3"];
const ABSENT = /\[[^\]\n]+\]/; // [name], [phone]…: what was left out because it was somebody else's

export class AnswerSuggestions extends HTMLElement {
  private shownFor = "";
  private asking: AbortController | undefined;

  connectedCallback(): void {
    this.addEventListener("click", this.onClick);
    this.addEventListener("submit", this.onDismiss);
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("htmx:after:swap", this.look);
    requestAnimationFrame(this.look);
  }

  disconnectedCallback(): void {
    this.asking?.abort();
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("htmx:after:swap", this.look);
  }

  /** Ask again when the newest message is another one; the thread never waits for it. */
  private look = (): void => {
    const newest = [...document.querySelectorAll("#thread .message:not(.message-note)")].at(-1);
    const last = `${newest?.id}:${newest?.querySelector(".message-text")?.textContent}`;
    if (last === this.shownFor) return;
    this.shownFor = last;
    void this.load(this.dataset["url"]!);
  };

  private async load(url: string, body?: FormData): Promise<void> {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    try {
      const answer = await fetch(url, { method: body ? "POST" : "GET", body, signal: asking.signal });
      if (answer.ok && !answer.redirected) this.show(await answer.text());
    } catch {
      // Suggestions are a help, not a need: without an answer there are none.
    }
  }

  private show(html: string): void {
    const hadFocus = this.contains(document.activeElement);
    this.innerHTML = html.trim();
    if (hadFocus) (this.querySelector<HTMLElement>(".suggestion-use") ?? document.querySelector<HTMLElement>("#text"))?.focus();
  }

  private onClick = (event: Event): void => {
    const choice = (event.target as Element).closest(".suggestion-use");
    if (choice) this.use(choice);
  };

  private onKey = (event: KeyboardEvent): void => {
    if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || document.querySelector("dialog[open]")) return;
    const choice = this.querySelectorAll(".suggestion-use")[KEYS.indexOf(event.code)];
    if (!choice) return;
    event.preventDefault();
    this.use(choice);
  };

  private use(choice: Element): void {
    const text = choice.querySelector(".suggestion-text")?.textContent ?? "";
    document.querySelector<ReplyComposer>("reply-composer")?.insert(text, ABSENT.exec(text));
  }

  private onDismiss = (event: SubmitEvent): void => {
    const form = event.target as HTMLFormElement;
    event.preventDefault();
    form.closest(".suggestion")?.setAttribute("aria-busy", "true");
    void this.load(form.action, new FormData(form));
  };
}
