/** The button in the corner of the page and the panel that it opens. */

import { Chat } from "./chat";
import { type Draft, Kept } from "./kept";
import { Log } from "./log";
import { drawing, element, readableOn } from "./parts";
import type { Config, Server } from "./server";
import { type Language, texts } from "./texts";
import { Tray } from "./tray";
import css from "./widget.css?inline";

const SEEN = "seen";
const DRAFT = "socialcrm:draft";

export function showChat(server: Server, channel: string, config: Config, language: Language): void {
  let ready = false;
  const words = texts(language);
  const kept = new Kept(channel);
  const host = element("div", { "data-socialcrm-chat": channel });
  const shadow = host.attachShadow({ mode: "open" });
  shadow.adoptedStyleSheets = [sheet(config.accent)];

  const chat = new Chat(server, kept, language, () => draw());
  const greeting = config.greeting[language] || config.greeting["fr"] || config.greeting["en"] || words.greeting;
  const log = new Log(chat, words, language, greeting, (draft) => edit(draft));

  const badge = element("span", { class: "badge", "aria-hidden": "true" });
  const icon = drawing("chat");
  const launcher = element(
    "button",
    { type: "button", class: "launcher", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-controls": "panel" },
    icon,
    badge,
  );
  const close = element("button", { type: "button", "aria-label": words.close }, drawing("close"));
  const title = element("h2", { id: "title" }, element("bdi", {}, config.title));
  const field = element("textarea", { rows: "1", placeholder: words.write, "aria-label": words.write });
  const send = element("button", { type: "submit", "aria-label": words.send }, drawing("send", "flip"));
  const tray = new Tray(chat, words, config.files, () => ready && drawState());
  const form = element("form", { class: "form" }, tray.element, tray.button, field, send);
  const state = element("div", { class: "state", role: "status" });
  const head = element("div", { class: "head" }, title, close);
  const panel = element(
    "div",
    { class: "panel", id: "panel", role: "dialog", "aria-labelledby": "title" },
    head,
    log.element,
    state,
    form,
  );
  panel.hidden = true;
  const dir = language === "ar" ? "rtl" : "ltr";
  const root = element("div", { class: "root", dir, lang: language }, panel, launcher);
  shadow.append(root);
  document.body.append(host);

  launcher.addEventListener("click", () => (panel.hidden ? open() : shut()));
  close.addEventListener("click", shut);
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the page's own shortcuts are not for what is typed here
    if (event.key === "Escape" && !panel.hidden) shut();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  field.addEventListener("input", () => {
    sessionStore(field.value);
    if (field.value) chat.tell();
    drawState();
  });
  field.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) tray.add(event.clipboardData.files);
  });
  panel.addEventListener("dragover", (event) => event.preventDefault());
  panel.addEventListener("drop", (event) => {
    event.preventDefault();
    tray.add(event.dataTransfer?.files ?? null);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!excess() && !tray.isBusy) {
      const files = tray.take();
      if (text || files.length) chat.say(text, undefined, files);
      field.value = "";
      sessionStore("");
      log.toEnd();
    }
    field.focus();
    drawState();
  });
  field.value = sessionStore();
  ready = true;
  chat.start();
  setInterval(() => chat.shown().wait && draw(), 1000);

  function open(): void {
    panel.hidden = false;
    root.classList.add("open");
    draw();
    log.toEnd();
    field.focus();
  }

  function shut(): void {
    panel.hidden = true;
    root.classList.remove("open");
    draw();
    launcher.focus();
  }

  function edit(draft: Draft): void {
    chat.forget(draft.id);
    field.value = field.value ? `${draft.text}\n${field.value}` : draft.text;
    sessionStore(field.value);
    field.focus();
    drawState();
  }

  function excess(): string {
    const length = [...field.value.trim()].length;
    return length > config.text_length ? words.tooLong(length, config.text_length) : "";
  }

  function drawState({ isConnected, isTyping } = chat.shown()): void {
    const line = excess() || tray.trouble || (isConnected ? (isTyping ? words.typing : "") : words.offline);
    if (state.textContent !== line) state.textContent = line;
    field.dir = field.value ? "auto" : dir; // an empty field would write its hint from the left
    field.setAttribute("aria-invalid", String(excess() !== ""));
  }

  function draw(): void {
    const shown = chat.shown();
    log.draw(shown);
    drawState(shown);
    const isOpen = !panel.hidden;
    const theirs = shown.said.filter((said) => said.from !== "visitor").map((said) => said.id);
    const seen = Number(kept.get(SEEN));
    if (isOpen && theirs.length && Math.max(...theirs) > seen) kept.set(SEEN, String(Math.max(...theirs)));
    const unread = isOpen ? 0 : theirs.filter((id) => id > seen).length;
    badge.hidden = !unread;
    badge.textContent = unread > 99 ? "99+" : String(unread);
    const action = isOpen ? words.close : words.open;
    launcher.setAttribute("aria-label", unread ? `${action} (${words.unread(unread)})` : action);
    launcher.setAttribute("aria-expanded", String(isOpen));
  }
}

/** The style sheet, made by script: a strict policy of the page on styles does not stop it. */
function sheet(accent: string): CSSStyleSheet {
  const made = new CSSStyleSheet();
  const colours = accent ? `:host { --accent: ${accent}; --on-accent: ${readableOn(accent)}; }` : "";
  made.replaceSync(css + colours);
  return made;
}

/** What is typed but not sent yet outlives a reload, in its own tab. */
function sessionStore(text?: string): string {
  try {
    if (text !== undefined) sessionStorage.setItem(DRAFT, text);
    return sessionStorage.getItem(DRAFT) ?? "";
  } catch {
    return "";
  }
}
