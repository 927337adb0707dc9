/** Files for an answer: chosen, dropped or pasted, uploaded at once, shown with a button that takes each away again. */

interface Kept {
  file: string;
  name: string;
  type: string;
  size: number;
}

const PREVIEW_BYTES = 4_000_000;

export class FilePicker extends HTMLElement {
  private uploads = new Map<HTMLElement, AbortController>();
  private afterUploads: (() => void) | null = null;

  private get form(): HTMLFormElement {
    return this.closest("form")!;
  }

  private get list(): HTMLElement {
    return this.querySelector("ul")!;
  }

  private get input(): HTMLInputElement {
    return this.querySelector('input[type="file"]')!;
  }

  private get field(): HTMLTextAreaElement {
    return this.form.querySelector("textarea")!;
  }

  private get isNote(): boolean {
    return new FormData(this.form).get("mode") === "note";
  }

  connectedCallback(): void {
    const { form, input } = this;
    this.querySelector("button")!.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = "";
    });
    form.addEventListener("paste", this.onPaste);
    form.addEventListener("dragover", this.onDrag);
    form.addEventListener("dragleave", () => form.classList.remove("is-drop"));
    form.addEventListener("drop", this.onDrop);
    form.dataset["drop"] = this.dataset["drop"] ?? "";
    // Before htmx hears of it: an answer waits for its files.
    form.parentElement!.addEventListener("submit", this.onSubmit, { capture: true });
    form.addEventListener("change", this.settle);
  }

  disconnectedCallback(): void {
    for (const upload of this.uploads.values()) upload.abort();
  }

  private onPaste = (event: ClipboardEvent): void => {
    const files = event.clipboardData?.files;
    if (!files?.length || this.isNote) return;
    event.preventDefault();
    this.add(files);
  };

  private onDrag = (event: DragEvent): void => {
    if (this.isNote || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.form.classList.add("is-drop");
  };

  private onDrop = (event: DragEvent): void => {
    this.form.classList.remove("is-drop");
    if (this.isNote || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    this.add(event.dataTransfer.files);
  };

  private onSubmit = (event: SubmitEvent): void => {
    if (!this.uploads.size || this.isNote) return;
    event.preventDefault();
    event.stopPropagation();
    this.afterUploads = () => this.form.requestSubmit(event.submitter);
  };

  private add(files: FileList | null): void {
    const room = Number(this.dataset["most"]) - this.list.children.length;
    const all = [...(files ?? [])];
    if (all.length > room) this.say(this.dataset["many"] ?? "");
    for (const file of all.slice(0, room)) void this.upload(file);
  }

  private async upload(file: File): Promise<void> {
    const stop = new AbortController();
    const chip = this.chip(file, stop);
    this.uploads.set(chip, stop);
    this.list.append(chip);
    this.settle();
    const name = file.name || "image.png";
    const token = this.form.querySelector<HTMLInputElement>('input[name="csrf_token"]')!.value;
    const headers = { "X-CSRF-Token": token, "Content-Type": "application/octet-stream", Accept: "application/json" };
    const url = `${this.dataset["url"]}?name=${encodeURIComponent(name)}`;
    try {
      const answer = await fetch(url, { method: "POST", body: file, headers, signal: stop.signal });
      const body = (await answer.json().catch(() => ({}))) as Partial<Kept & { error: string }>;
      if (answer.ok) this.keep(chip, body as Kept);
      else this.refuse(chip, body.error);
    } catch {
      if (!stop.signal.aborted) this.refuse(chip);
    }
    this.uploads.delete(chip);
    this.settle();
    if (this.uploads.size) return;
    const send = this.afterUploads;
    this.afterUploads = null;
    if (!this.list.querySelector(".is-refused")) send?.();
  }

  private keep(chip: HTMLElement, kept: Kept): void {
    const hidden = document.createElement("input");
    hidden.type = "hidden";
    hidden.name = "file";
    hidden.value = kept.file;
    chip.append(hidden);
    chip.classList.remove("is-busy");
    chip.querySelector(".files-state")!.textContent = size(kept.size);
  }

  private refuse(chip: HTMLElement, why?: string): void {
    const words = why ?? this.dataset["lost"] ?? "";
    chip.classList.replace("is-busy", "is-refused");
    chip.querySelector(".files-state")!.textContent = words;
    this.say(words);
  }

  private chip(file: File, stop: AbortController): HTMLElement {
    const chip = document.createElement("li");
    chip.className = "files-chip is-busy";
    const picture = document.createElement("img");
    picture.alt = "";
    picture.hidden = true;
    if (file.type.startsWith("image/") && file.size < PREVIEW_BYTES) preview(file, picture);
    const name = document.createElement("bdi");
    name.textContent = file.name || "image.png";
    const state = document.createElement("span");
    state.className = "files-state";
    state.textContent = this.dataset["busy"] ?? "";
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "button button-quiet button-icon";
    remove.ariaLabel = (this.dataset["remove"] ?? "").replace("{name}", name.textContent);
    remove.innerHTML = '<svg class="icon" aria-hidden="true"><use href="#i-close"></use></svg>';
    remove.addEventListener("click", () => {
      stop.abort();
      chip.remove();
      this.uploads.delete(chip);
      this.settle();
      this.querySelector("button")!.focus();
    });
    chip.append(picture, name, state, remove);
    return chip;
  }

  /** An answer needs a text or a file. */
  private settle = (): void => {
    this.list.hidden = !this.list.children.length;
    this.field.required = !this.list.children.length || this.isNote;
  };

  private say(words: string): void {
    this.querySelector('[role="status"]')!.textContent = words;
  }
}

function preview(file: File, picture: HTMLImageElement): void {
  const reader = new FileReader(); // an address that begins with data: is what our policy allows
  reader.addEventListener("load", () => {
    picture.src = String(reader.result);
    picture.hidden = false;
  });
  reader.readAsDataURL(file);
}

function size(bytes: number): string {
  const isLarge = bytes >= 1_000_000;
  const amount = isLarge ? bytes / 1_000_000 : bytes / 1000;
  const options = { style: "unit", unit: isLarge ? "megabyte" : "kilobyte", maximumFractionDigits: amount < 10 ? 1 : 0 } as const;
  return new Intl.NumberFormat(document.documentElement.lang, options).format(amount);
}
