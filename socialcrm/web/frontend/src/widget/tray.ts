/** Files that wait beside the text until it is sent: each is uploaded at once and can be taken away again. */

import type { Chat } from "./chat";
import { drawing, element } from "./parts";
import { type Config, Refusal } from "./server";
import type { Texts } from "./texts";

type Kept = { file: string; name: string };

export class Tray {
  readonly element = element("ul", { class: "tray" });
  readonly button: HTMLButtonElement;
  /** What is wrong with the last file, in words. */
  trouble = "";
  #input = element("input", { type: "file", multiple: "", hidden: "" });
  #files = new Map<File, Kept | null>();

  constructor(
    readonly chat: Chat,
    readonly texts: Texts,
    readonly limits: Config["files"],
    readonly changed: () => void,
  ) {
    this.button = element("button", { type: "button", class: "attach", "aria-label": texts.attach }, drawing("attach"));
    this.button.append(this.#input);
    this.button.addEventListener("click", (event) => event.target !== this.#input && this.#input.click());
    this.#input.addEventListener("change", () => {
      this.add(this.#input.files);
      this.#input.value = "";
    });
    this.#draw();
  }

  get isBusy(): boolean {
    return [...this.#files.values()].includes(null);
  }

  add(files: Iterable<File> | null): void {
    this.trouble = "";
    for (const file of files ?? []) {
      const { most, bytes } = this.limits;
      if (this.#files.size >= most) this.trouble = this.texts.tooMany(most);
      else if (file.size > bytes) this.trouble = this.texts.tooLarge(file.name, bytes / 1e6);
      else void this.#upload(file);
    }
    this.#draw();
  }

  /** What was uploaded; the tray is empty afterwards. */
  take(): Kept[] {
    const kept = [...this.#files.values()].filter((each) => each !== null);
    this.#files.clear();
    this.#draw();
    return kept;
  }

  async #upload(file: File): Promise<void> {
    this.#files.set(file, null);
    try {
      const kept = await this.chat.upload(file);
      if (this.#files.has(file)) this.#files.set(file, kept);
    } catch (error) {
      this.#files.delete(file);
      const isBad = error instanceof Refusal && !error.isForNow;
      this.trouble = isBad ? this.texts.badFile(file.name) : this.texts.notUploaded(file.name);
    }
    this.#draw();
  }

  #draw(): void {
    this.element.hidden = !this.#files.size;
    this.element.replaceChildren(...[...this.#files].map(([file, kept]) => this.#chip(file, kept)));
    this.changed();
  }

  #chip(file: File, kept: Kept | null): HTMLElement {
    const remove = element("button", { type: "button", "aria-label": this.texts.removeFile(file.name) }, drawing("close"));
    remove.addEventListener("click", () => {
      this.#files.delete(file);
      this.#draw();
      this.button.focus();
    });
    return element("li", {}, element("bdi", {}, file.name), kept ? "" : ` ${this.texts.uploading}`, remove);
  }
}
