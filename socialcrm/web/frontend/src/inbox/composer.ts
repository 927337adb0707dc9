/** The composer: keeps drafts, shows how long the platform finds the text, sends with Ctrl+Enter. */

const MEASURE_MS = 250;
const TYPING_MS = 4_000; // platforms show it for about five seconds

type Mode = "reply" | "note" | "private" | "under";

interface Measured {
  says: string;
  level: "" | "near" | "over";
}

export class ReplyComposer extends HTMLElement {
  private toldAt = 0;
  private waiting: number | undefined;
  private isTooLong = false;

  private get form(): HTMLFormElement {
    return this.querySelector("form")!;
  }

  private get field(): HTMLTextAreaElement {
    return this.querySelector("textarea")!;
  }

  private get mode(): Mode {
    if (this.dataset["private"]) return "private";
    if (this.dataset["under"]) return "under";
    return new FormData(this.form).get("mode") === "note" ? "note" : "reply";
  }

  /** Whether one comment was chosen to be answered. */
  private get isChosen(): boolean {
    return this.mode === "private" || this.mode === "under";
  }

  private get draftKey(): string {
    return ["draft", this.dataset["conversation"], this.mode, this.dataset["private"] ?? this.dataset["under"]].filter(Boolean).join(":");
  }

  private get token(): string {
    return this.querySelector<HTMLInputElement>('input[name="csrf_token"]')!.value;
  }

  connectedCallback(): void {
    this.form.addEventListener("input", this.onInput);
    this.form.addEventListener("change", this.onMode);
    this.field.addEventListener("keydown", this.onKey);
    this.form.addEventListener("htmx:after:request", this.onSent);
    document.addEventListener("htmx:after:swap", this.settle);
    this.restore();
    if (this.isChosen) this.field.focus();
  }

  disconnectedCallback(): void {
    clearTimeout(this.waiting);
    document.removeEventListener("htmx:after:swap", this.settle);
  }

  /** Write in a mode: r and n. */
  write(mode: "reply" | "note"): void {
    if (this.isChosen) return this.querySelector<HTMLElement>("#composer-back")!.click();
    const choice = this.querySelector<HTMLInputElement>(`input[name="mode"][value="${mode}"]`);
    if (!choice || choice.disabled) return;
    if (!choice.checked) {
      choice.checked = true;
      this.onMode();
    }
    this.field.focus();
  }

  /** Put a text in at the cursor, so that it can be undone; a part that the writer has to fill in is selected. */
  insert(text: string, absent: RegExpExecArray | null): void {
    if (this.isChosen) this.field.focus();
    else this.write("reply");
    const { value, selectionStart: at, selectionEnd: end } = this.field;
    const lead = at > 0 && !/\s$/.test(value.slice(0, at)) ? "\n" : "";
    if (!document.execCommand("insertText", false, lead + text)) {
      this.field.setRangeText(lead + text, at, end, "end");
      this.field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }
    if (!absent) return;
    const from = at + lead.length + absent.index;
    this.field.setSelectionRange(from, from + absent[0].length);
  }

  private restore(): void {
    this.field.value = localStorage.getItem(this.draftKey) ?? "";
    void this.measure();
  }

  private onInput = (event: Event): void => {
    if (event.target !== this.field) return;
    if (this.field.value) localStorage.setItem(this.draftKey, this.field.value);
    else localStorage.removeItem(this.draftKey);
    clearTimeout(this.waiting);
    this.waiting = window.setTimeout(() => void this.measure(), MEASURE_MS);
    this.tell();
  };

  /** Let the customer see that somebody is writing, every few seconds at most. */
  private tell(): void {
    if (this.mode !== "reply" || !this.field.value || Date.now() - this.toldAt < TYPING_MS) return;
    this.toldAt = Date.now();
    void fetch(`/inbox/${this.dataset["conversation"]}/typing`, { method: "POST", headers: { "X-CSRF-Token": this.token } }).catch(() => undefined);
  }

  private onMode = (): void => this.restore();

  private onKey = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const send = this.querySelector<HTMLButtonElement>(".composer-send")!;
    if (!send.disabled) this.form.requestSubmit(send);
  };

  private onSent = (event: Event): void => {
    const { ctx } = (event as CustomEvent<{ ctx: { response: { status: number } } }>).detail;
    if (ctx.response.status >= 400) return;
    localStorage.removeItem(this.draftKey);
    // The fresh composer comes with the answer, and takes over the focus and the mode.
    const hadMode = this.mode;
    document.addEventListener(
      "htmx:after:swap",
      () => {
        if (!matchMedia("(max-width: 760px)").matches) document.querySelector<ReplyComposer>("reply-composer")?.write(hadMode === "note" ? "note" : "reply");
      },
      { once: true },
    );
  };

  /** Ask how long the platform finds the text: only it knows what a link, an emoji or an Arabic letter counts. */
  private async measure(): Promise<void> {
    const text = this.field.value;
    if (!text || this.mode === "note") return this.show({ says: "", level: "" });
    const body = new URLSearchParams({ text, to: this.dataset["private"] ?? "" });
    const headers = { "X-CSRF-Token": this.token, Accept: "application/json" };
    try {
      const answer = await fetch(this.dataset["measure"]!, { method: "POST", body, headers });
      const measured = (await answer.json()) as Measured;
      if (answer.ok && text === this.field.value) this.show(measured);
    } catch {
      // The server looks again when it is sent.
    }
  }

  private show({ says, level }: Measured): void {
    const sign = this.querySelector<HTMLElement>("[data-count]")!;
    sign.hidden = !says;
    sign.textContent = says;
    sign.classList.toggle("is-near", level === "near");
    sign.classList.toggle("is-over", level === "over");
    this.isTooLong = level === "over";
    this.settle();
  }

  /** Nothing is sent that is too long, or while the channel takes no answer; a note always is kept. */
  private settle = (): void => {
    const isClosed = this.mode === "reply" && document.querySelector("#window[data-closed]") !== null;
    const isStopped = this.mode !== "note" && (this.isTooLong || isClosed);
    for (const button of this.querySelectorAll<HTMLButtonElement>(".composer-send, .composer-resolve")) button.disabled = isStopped;
  };
}
