/** The composer: keeps drafts, counts against the channel's limit, sends with Ctrl+Enter. */

const NEAR_LIMIT = 0.8;
const TYPING_MS = 4_000; // platforms show it for about five seconds

export class ReplyComposer extends HTMLElement {
  private toldAt = 0;

  private get form(): HTMLFormElement {
    return this.querySelector("form")!;
  }

  private get field(): HTMLTextAreaElement {
    return this.querySelector("textarea")!;
  }

  private get mode(): string {
    return new FormData(this.form).get("mode") === "note" ? "note" : "reply";
  }

  private get draftKey(): string {
    return `draft:${this.dataset["conversation"]}:${this.mode}`;
  }

  connectedCallback(): void {
    this.form.addEventListener("input", this.onInput);
    this.form.addEventListener("change", this.onMode);
    this.field.addEventListener("keydown", this.onKey);
    this.form.addEventListener("htmx:after:request", this.onSent);
    this.restore();
  }

  /** Write in a mode: r and n. */
  write(mode: "reply" | "note"): void {
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
    this.write("reply");
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
    this.count();
  }

  private onInput = (event: Event): void => {
    if (event.target !== this.field) return;
    if (this.field.value) localStorage.setItem(this.draftKey, this.field.value);
    else localStorage.removeItem(this.draftKey);
    this.count();
    this.tell();
  };

  /** Let the customer see that somebody is writing, every few seconds at most. */
  private tell(): void {
    if (this.mode !== "reply" || !this.field.value || Date.now() - this.toldAt < TYPING_MS) return;
    this.toldAt = Date.now();
    const token = this.querySelector<HTMLInputElement>('input[name="csrf_token"]')!.value;
    void fetch(`/inbox/${this.dataset["conversation"]}/typing`, { method: "POST", headers: { "X-CSRF-Token": token } }).catch(() => undefined);
  }

  private onMode = (): void => this.restore();

  private onKey = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.form.requestSubmit(this.querySelector<HTMLButtonElement>(".composer-send"));
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
        if (!matchMedia("(max-width: 760px)").matches) document.querySelector<ReplyComposer>("reply-composer")?.write(hadMode as "reply" | "note");
      },
      { once: true },
    );
  };

  private count(): void {
    const limit = this.mode === "note" ? Infinity : Number(this.dataset["limit"]);
    const length = [...this.field.value].length;
    const sign = this.querySelector<HTMLElement>("[data-count]")!;
    sign.hidden = length < limit * NEAR_LIMIT;
    sign.textContent = `${length} / ${limit}`;
    sign.classList.toggle("is-over", length > limit);
    for (const button of this.querySelectorAll<HTMLButtonElement>(".composer-send, .composer-resolve")) button.disabled = length > limit;
  }
}
