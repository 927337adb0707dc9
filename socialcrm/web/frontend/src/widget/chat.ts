/** What was said and what is on its way: nothing is lost and nothing shown twice. Knows nothing of the page. */

import { alone, type Draft, type Kept, newId } from "./kept";
import { type News, Refusal, type Said, type Server } from "./server";

const LONGEST_MS = 30_000;
const HIDDEN_MS = 60_000;
const TYPING_MS = 6_000;
const TELL_MS = 4_000;
/** NUL, and halves of signs that were cut in two: they are no text. */
const SIGNS = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

export interface Shown {
  said: Said[];
  drafts: Draft[];
  hasEarlier: boolean;
  isConnected: boolean;
  /** Somebody answers just now. */
  isTyping: boolean;
  /** Seconds until the server wants to hear from us again; 0 when it does now. */
  wait: number;
}

export class Chat {
  #said = new Map<number, Said>();
  #keys = new Set<string>();
  #cursor = 0;
  #hasEarlier = false;
  #isConnected = true;
  #quietUntil = 0;
  #typingUntil = 0;
  #toldAt = 0;
  #arriving: Promise<string> | null = null;
  #failures = 0;
  #isFlushing = false;
  #flushAgain = false;
  #flushTimer = 0;
  #isFollowing = false;
  #stream: { token: string; end: () => void } | null = null;
  #wake: (() => void) | null = null;

  constructor(
    readonly server: Server,
    readonly kept: Kept,
    readonly language: string,
    readonly changed: () => void,
  ) {}

  start(): void {
    this.kept.watch(() => this.#refresh());
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#connected(false));
    let timer = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      // A browser opens only a few connections to one server: tabs that nobody sees give theirs back.
      if (document.hidden) timer = setTimeout(() => this.#stream?.end(), HIDDEN_MS);
      else this.#hurry();
    });
    this.#refresh();
  }

  shown(): Shown {
    const said = [...this.#said.values()].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.id - b.id));
    const drafts = this.kept.outbox().filter((draft) => !draft.button && !this.#keys.has(draft.id));
    const wait = Math.max(0, Math.ceil((this.#quietUntil - Date.now()) / 1000));
    const isTyping = Date.now() < this.#typingUntil;
    return { said, drafts, hasEarlier: this.#hasEarlier, isConnected: this.#isConnected, isTyping, wait };
  }

  /** Whether this browser has talked to us before. */
  get hasVisitor(): boolean {
    return this.kept.token() !== "";
  }

  /** Lets the team see that somebody is writing, once there is a conversation. */
  tell(): void {
    if (!this.#said.size || Date.now() - this.#toldAt < TELL_MS) return;
    this.#toldAt = Date.now();
    this.server.typing(this.kept.token());
  }

  async upload(file: File): Promise<{ file: string; name: string }> {
    return { file: await this.server.upload(await this.#token(), file), name: file.name };
  }

  say(text: string, button?: string, files?: Draft["files"]): void {
    const draft: Draft = {
      id: newId(),
      text: text.replace(SIGNS, ""),
      at: Date.now(),
      state: "waiting",
      page: location.href.split("#")[0]!.slice(0, 2000),
      language: this.language,
    };
    if (button !== undefined) draft.button = button;
    if (files?.length) draft.files = files;
    this.kept.put(draft);
    this.#refresh();
  }

  forget(id: string): void {
    this.kept.drop(id);
    this.changed();
  }

  async earlier(): Promise<void> {
    const first = Math.min(...this.#said.keys());
    try {
      const news = await this.server.newest(this.kept.token(), first);
      this.#hasEarlier = news.has_more ?? false;
      this.#learn(news.messages);
    } catch {
      this.#connected(false);
    }
  }

  #refresh(): void {
    this.changed();
    void this.#flush();
    this.#listen();
  }

  /** Listens as the visitor that we are now: another tab, or a refusal, may have made us another one. */
  #listen(): void {
    if (this.#stream && this.#stream.token !== this.kept.token()) this.#stream.end();
    void this.#follow();
  }

  /** The network is back, or somebody looks again: try at once. */
  #hurry(): void {
    this.#failures = 0;
    this.#wake?.();
    this.#refresh();
  }

  #connected(is: boolean): void {
    if (is) this.#failures = 0;
    if (this.#isConnected === is) return;
    this.#isConnected = is;
    this.changed();
  }

  #learn(messages: Said[]): void {
    for (const message of messages) {
      this.#said.set(message.id, message);
      if (message.key === null) continue;
      this.#keys.add(message.key);
      if (this.kept.has(message.key)) this.kept.drop(message.key);
    }
    this.changed();
  }

  /** Full jitter below a ceiling that doubles, as long as the server did not name a time itself. */
  #backOff(told: number): number {
    const ceiling = Math.min(LONGEST_MS, 500 * 2 ** Math.min(this.#failures++, 8));
    return Math.max(told * 1000, ceiling / 4 + Math.random() * ceiling * 0.75);
  }

  async #flush(): Promise<void> {
    if (this.#isFlushing) {
      this.#flushAgain = true;
      return;
    }
    if (Date.now() < this.#quietUntil || !this.#waiting().length) return;
    this.#isFlushing = true;
    clearTimeout(this.#flushTimer);
    try {
      await alone(`socialcrm:${this.kept.channel}`, () => this.#sendAll());
    } catch (error) {
      const told = error instanceof Refusal ? error.retryAfter : 0;
      const wait = this.#backOff(told);
      if (told) this.#quietUntil = Date.now() + wait;
      else this.#connected(false);
      this.#flushTimer = setTimeout(() => void this.#flush(), wait + 20);
      if (!(error instanceof Refusal)) console.error(error);
    } finally {
      this.#isFlushing = false;
    }
    this.changed();
    if (this.#flushAgain) {
      this.#flushAgain = false;
      if (this.#isConnected) void this.#flush();
    }
  }

  #waiting(): Draft[] {
    return this.kept.outbox().filter((draft) => draft.state === "waiting");
  }

  /** Sends what waits, in order; each is read again just before, as another tab may have sent it meanwhile. */
  async #sendAll(): Promise<void> {
    for (let draft = this.#waiting()[0]; draft; draft = this.#waiting()[0]) {
      const { id, text, button, page, language } = draft;
      const files = draft.files?.map((each) => each.file);
      try {
        await this.server.write(await this.#token(), { id, text, button, page, language, files });
        this.#connected(true);
        if (button !== undefined || this.#keys.has(id)) this.kept.drop(id);
        else if (this.kept.has(id)) this.kept.put({ ...draft, state: "accepted" });
      } catch (error) {
        if (!(error instanceof Refusal) || error.isForNow) throw error;
        if (error.status === 401) this.kept.setToken("");
        else this.kept.put({ ...draft, state: "refused", reason: error.about });
      }
      this.changed();
      this.#listen();
    }
  }

  async #token(): Promise<string> {
    if (this.kept.token()) return this.kept.token();
    // Two files, or a file and a text, that leave at once come from one visitor.
    this.#arriving ??= this.server.newVisitor().finally(() => (this.#arriving = null));
    const token = await this.#arriving;
    if (!this.kept.token()) this.kept.setToken(token);
    return this.kept.token();
  }

  /** Listens, comes back after every loss, and catches up from where it was. Ends when nobody looks at the page. */
  async #follow(): Promise<void> {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    let listenedAs = "";
    for (let token = this.kept.token(); token && !document.hidden; token = this.kept.token()) {
      const stream = new AbortController();
      this.#stream = { token, end: () => stream.abort() };
      let told = 0;
      try {
        if (this.#cursor === 0 || (listenedAs && listenedAs !== token)) {
          const news = await this.server.newest(token);
          this.#hasEarlier = news.has_more ?? false;
          this.#cursor = news.cursor;
          this.#learn(news.messages);
        }
        listenedAs = token;
        await this.server.listen(token, this.#cursor, stream.signal, (news) => this.#hear(news));
      } catch (error) {
        if (error instanceof Refusal) {
          told = error.retryAfter;
          if (error.status === 401 && this.kept.token() === token) this.kept.setToken("");
          else if (error.status === 403 || error.status === 404) break;
        }
      }
      if (!stream.signal.aborted) await this.#pause(told);
    }
    this.#stream = null;
    this.#isFollowing = false;
  }

  async #pause(told: number): Promise<void> {
    if (!navigator.onLine || this.#failures > 1) this.#connected(false);
    const lost = setTimeout(() => this.#connected(false), 3000);
    const wait = this.#backOff(told);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, wait);
    });
    this.#wake = null;
    clearTimeout(lost);
  }

  #hear(news: News | null): void {
    this.#typingUntil = news ? 0 : Date.now() + TYPING_MS;
    if (!news) {
      this.changed();
      setTimeout(this.changed, TYPING_MS + 20);
      return;
    }
    this.#cursor = news.cursor;
    this.#learn(news.messages);
    this.#connected(true);
    void this.#flush();
  }
}
