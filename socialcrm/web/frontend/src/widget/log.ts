/** The list of messages: only what changed is touched, so that screen readers say each new message once. */

import type { Chat, Shown } from "./chat";
import type { Draft } from "./kept";
import { withLinks } from "./links";
import { drawing, element } from "./parts";
import type { Said, SaidFile } from "./server";
import type { Texts } from "./texts";

/** A file that was sent has a path; one on its way only a name. */
type FileShown = Partial<SaidFile> & { name: string };

interface Row {
  element: HTMLElement;
  meta: HTMLElement;
  face: string;
}

export class Log {
  readonly element: HTMLElement;
  #rows = new Map<string, Row>();
  #earlier: HTMLButtonElement;
  #clock: Intl.DateTimeFormat;

  constructor(
    readonly chat: Chat,
    readonly texts: Texts,
    language: string,
    greeting: string,
    readonly edit: (draft: Draft) => void,
  ) {
    this.#clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
    this.#earlier = element("button", { type: "button", class: "small earlier" }, texts.earlier);
    this.#earlier.hidden = true;
    this.#earlier.addEventListener("click", () => void chat.earlier());
    const hello = element("div", { class: "message" }, element("div", { class: "bubble", dir: "auto" }, greeting));
    this.element = element(
      "div",
      { class: "log", role: "log", "aria-live": "polite", "aria-label": texts.log, tabindex: "0" },
      this.#earlier,
      hello,
    );
  }

  draw(shown: Shown): void {
    const { element: log } = this;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    const before = log.scrollHeight;
    const first = [...this.#rows.keys()][0];
    this.#earlier.hidden = !shown.hasEarlier;
    const rows = new Map<string, Row>();
    let last: Element = log.children[1]!;
    const place = (key: string, row: Row) => {
      rows.set(key, row);
      if (last.nextElementSibling !== row.element) last.after(row.element);
      last = row.element;
    };
    for (const said of shown.said) place(said.key ?? `#${said.id}`, this.#saidRow(said));
    for (const draft of shown.drafts) place(draft.id, this.#draftRow(draft, shown));
    for (const [key, row] of this.#rows) if (!rows.has(key)) row.element.remove();
    this.#rows = rows;
    const isNewAbove = first !== undefined && rows.keys().next().value !== first;
    if (isAtEnd) this.toEnd();
    else if (isNewAbove) log.scrollTop += log.scrollHeight - before;
  }

  toEnd(): void {
    this.element.scrollTop = this.element.scrollHeight;
  }

  #saidRow(said: Said): Row {
    const isMine = said.from === "visitor";
    const author = this.#author(said);
    const row = this.#row(said.key ?? `#${said.id}`, said.text, isMine, author, said.edited_at ?? "", said.files);
    const at = new Date(said.at);
    fill(row.meta, [element("time", { datetime: said.at }, this.#clock.format(at))], said.at);
    if (said.buttons.length && row.element.lastElementChild === row.meta) this.#addChoices(row, said);
    return row;
  }

  /** Why a message was refused, in the language of the page. */
  private why(about = ""): string {
    return this.texts.whyRefused[about] ?? this.texts.whyRefused["other"] ?? "";
  }

  #draftRow(draft: Draft, shown: Shown): Row {
    const row = this.#row(draft.id, draft.text, true, this.texts.you, "", draft.files);
    if (draft.state === "refused") {
      const remove = element("button", { type: "button", class: "small" }, this.texts.remove);
      const edit = element("button", { type: "button", class: "small" }, this.texts.edit);
      remove.addEventListener("click", () => this.chat.forget(draft.id));
      edit.addEventListener("click", () => this.edit(draft));
      const why = element("span", { class: "alert" }, `${this.texts.refused}. ${this.why(draft.reason)} `);
      fill(row.meta, [why, edit, remove], "refused");
      return row;
    }
    let state = shown.isConnected ? this.texts.sending : this.texts.later;
    if (shown.wait) state = this.texts.wait(shown.wait);
    if (draft.state === "accepted") state = this.#clock.format(draft.at);
    fill(row.meta, [state], state);
    return row;
  }

  /** The row of a message: a draft becomes the message it was when that comes back from the server. */
  #row(key: string, text: string, isMine: boolean, author: string, version: string, files: FileShown[] = []): Row {
    const face = `${version} ${text} ${files.filter((file) => file.path).length}`;
    const known = this.#rows.get(key);
    if (known?.face === face) return known;
    const parts = [...withLinks(text, this.texts.newWindow), ...files.map((file) => this.#file(file))];
    const bubble = element("div", { class: "bubble", dir: "auto" }, ...parts);
    if (known) {
      known.element.querySelector(".bubble")!.replaceWith(bubble);
      known.face = face;
      return known;
    }
    const who = element("div", { class: isMine ? "hidden" : "who", dir: "auto" }, author);
    const meta = element("div", { class: "meta" });
    const whole = element("div", { class: isMine ? "message mine" : "message" }, who, bubble, meta);
    return { element: whole, meta, face };
  }

  /** A picture, a player or a link to the file; only its name while it is on its way. */
  #file({ kind, name, path }: FileShown): HTMLElement {
    const named = () => [drawing("attach"), ` ${name || this.texts.file}`];
    if (!path) return element("div", { class: "file" }, ...named());
    const src = new URL(path, this.chat.server.base).href;
    if (kind === "audio" || kind === "video") {
      return element(kind, { class: "file", src, controls: "", preload: "none", "aria-label": name });
    }
    const link = element("a", { class: "file", href: src, target: "_blank", rel: "noopener", title: this.texts.newWindow });
    link.append(...(kind === "image" ? [element("img", { src, alt: name || this.texts.picture })] : named()));
    link.querySelector("img")?.addEventListener("load", () => this.#keepEnd());
    return link;
  }

  /** A picture that was loaded pushes the end away from who reads it. */
  #keepEnd(): void {
    const { element: log } = this;
    if (log.scrollHeight - log.scrollTop - log.clientHeight < 400) this.toEnd();
  }

  #author(said: Said): string {
    if (said.from === "visitor") return this.texts.you;
    return said.from === "bot" ? this.texts.automatic : said.name || this.texts.team;
  }

  #addChoices(row: Row, said: Said): void {
    const name = `chosen:${said.id}`;
    const group = element("div", { class: "choices", role: "group", "aria-label": said.text.slice(0, 120) });
    const mark = () => {
      const chosen = this.chat.kept.get(name);
      for (const [index, button] of [...group.children].entries()) {
        const value = said.buttons[index]!.value;
        button.toggleAttribute("disabled", chosen !== "");
        if (chosen) button.setAttribute("aria-pressed", String(chosen === value));
      }
    };
    for (const { label, value } of said.buttons) {
      const button = element("button", { type: "button", dir: "auto" }, label);
      button.addEventListener("click", () => {
        if (this.chat.kept.get(name)) return;
        this.chat.kept.set(name, value);
        this.chat.say(label, value);
        mark();
        this.element.focus({ preventScroll: true });
        row.meta.append(element("span", { class: "hidden" }, ` ${this.texts.chosen} ${label}`));
      });
      group.append(button);
    }
    mark();
    row.element.append(group);
  }
}

function fill(place: HTMLElement, content: (Node | string)[], face: string): void {
  if (place.dataset["face"] === face) return;
  place.dataset["face"] = face;
  place.replaceChildren(...content);
}
