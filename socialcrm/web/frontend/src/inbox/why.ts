/** Why a message was understood as it was: on a tag, the words that weighed most are marked in the message.
 *
 * They are marked with the CSS Custom Highlight API, which leaves the text as it is: it can be selected and copied, and
 * a live update finds what it expects. A browser without it shows the words beside the tag all the same.
 */

const DEBOUNCE_MS = 120;
const LEVELS = 4;

interface Word {
  start: number;
  end: number;
  text: string;
  weight: number;
}

const known = new Map<string, Promise<Word[]>>();
let shown: HTMLElement | null = null;
let title = "";
let waiting: number | undefined;

async function ask(message: string, field: string): Promise<Word[]> {
  const answer = await fetch(`/messages/${message}/why?field=${field}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(String(answer.status));
  return ((await answer.json()) as { words: Word[] }).words;
}

function reasons(tag: HTMLElement): Promise<Word[]> {
  const text = textOf(tag)?.textContent ?? "";
  const [message, field] = [tag.closest(".message")!.id.slice("message-".length), tag.dataset["why"]!];
  const key = `${message}:${field}:${tag.textContent}:${text}`;
  let found = known.get(key);
  if (!found) {
    found = ask(message, field);
    found.catch(() => known.delete(key));
    known.set(key, found);
  }
  return found;
}

const textOf = (tag: HTMLElement): Text | null => {
  const first = tag.closest(".message")?.querySelector(".message-text")?.firstChild;
  return first instanceof Text ? first : null;
};

/** 1 to LEVELS: how strong a word is beside the strongest. */
const level = (word: Word, strongest: number): number => Math.max(1, Math.ceil((word.weight / strongest) * LEVELS));

function mark(tag: HTMLElement, words: Word[]): void {
  const text = textOf(tag);
  if (!text || !("highlights" in CSS)) return;
  const strongest = Math.max(...words.map((word) => word.weight));
  for (let step = 1; step <= LEVELS; step++) {
    const ranges = words
      .filter((word) => level(word, strongest) === step && word.end <= text.length)
      .map((word) => new StaticRange({ startContainer: text, startOffset: word.start, endContainer: text, endOffset: word.end }));
    CSS.highlights.set(`why-${step}`, new Highlight(...ranges));
  }
}

/** The words as they are said: without the signs around them, each once. */
const spoken = (words: Word[]): string[] =>
  [...new Set(words.map((word) => word.text.replace(/^[\p{P}\p{S}]+(?=[\p{L}\p{N}])|(?<=[\p{L}\p{N}])[\p{P}\p{S}]+$/gu, "")))];

function place(note: HTMLElement, tag: HTMLElement): void {
  const [box, page] = [tag.getBoundingClientRect(), document.documentElement];
  const width = note.offsetWidth;
  const start = page.dir === "rtl" ? box.right - width : box.left;
  note.style.left = `${Math.min(Math.max(start, 8), page.clientWidth - width - 8)}px`;
  const below = box.bottom + 6;
  note.style.top = `${below + note.offsetHeight > page.clientHeight ? box.top - note.offsetHeight - 6 : below}px`;
}

function sentence(note: HTMLElement, words: Word[]): string {
  const list = spoken(words).map((word) => `\u2068${word}\u2069`).join(note.dataset["comma"]);
  return words.length ? (note.dataset["because"] ?? "").replace("{words}", list) : (note.dataset["nothing"] ?? "");
}

function say(tag: HTMLElement, text: (note: HTMLElement) => string): void {
  const note = document.getElementById("because");
  if (!note) return;
  note.textContent = text(note);
  note.hidden = false;
  place(note, tag);
  tag.setAttribute("aria-describedby", "because");
  tag.removeAttribute("title"); // one note at a time
  if (document.activeElement === tag) {
    const announcer = document.getElementById("announcer");
    if (announcer) announcer.textContent = note.textContent;
  }
}

async function show(tag: HTMLElement): Promise<void> {
  hide();
  shown = tag;
  title = tag.title;
  const said = tag.dataset["said"]; // what is known without asking: who corrected it, why it looks like spam
  if (said) return say(tag, () => said);
  try {
    const words = await reasons(tag);
    if (shown !== tag || !tag.isConnected) return;
    if (words.length) mark(tag, words);
    say(tag, (note) => sentence(note, words));
  } catch {
    if (shown === tag) hide();
  }
}

function hide(): void {
  clearTimeout(waiting);
  if (!shown) return;
  shown.removeAttribute("aria-describedby");
  if (title) shown.title = title;
  shown = null;
  if ("highlights" in CSS) for (let step = 1; step <= LEVELS; step++) CSS.highlights.delete(`why-${step}`);
  const note = document.getElementById("because");
  if (note) note.hidden = true;
}

/** The note stays with its tag; when the tag is scrolled out of its thread, there is nothing to say. */
function follow(): void {
  const note = document.getElementById("because");
  if (!shown || !note || note.hidden) return;
  const [box, thread] = [shown.getBoundingClientRect(), shown.closest("message-thread")?.getBoundingClientRect()];
  if (thread && (box.bottom < thread.top || box.top > thread.bottom)) hide();
  else place(note, shown);
}

const tagOf = (event: Event): HTMLElement | null =>
  event.target instanceof Element ? event.target.closest<HTMLElement>(".message [data-why], .message [data-said]") : null;

function soon(tag: HTMLElement): void {
  clearTimeout(waiting);
  if (tag !== shown) waiting = window.setTimeout(() => void show(tag), DEBOUNCE_MS);
}

export function explainTags(): void {
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const tag = tagOf(event);
    if (tag) soon(tag);
    else if (shown !== document.activeElement) hide();
    else clearTimeout(waiting);
  });
  document.addEventListener("focusin", (event) => {
    const tag = tagOf(event);
    if (tag) soon(tag);
    else hide();
  });
  document.addEventListener("focusout", (event) => {
    if (tagOf(event)) hide();
  });
  document.addEventListener("click", (event) => {
    const tag = tagOf(event);
    if (tag) soon(tag);
    else hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !shown) return;
    hide();
    event.stopImmediatePropagation();
  });
  document.addEventListener("scroll", follow, { capture: true, passive: true });
}
