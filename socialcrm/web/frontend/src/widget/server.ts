/** Talking to the server: plain calls, and the stream of news. */

export interface SaidFile {
  kind: "image" | "audio" | "video" | "document";
  name: string;
  path: string;
}

export interface Said {
  id: number;
  key: string | null;
  from: "visitor" | "agent" | "bot";
  name: string;
  text: string;
  buttons: { label: string; value: string }[];
  files: SaidFile[];
  at: string;
  edited_at: string | null;
}

export interface News {
  messages: Said[];
  cursor: number;
  has_more?: boolean;
}

export interface Config {
  title: string;
  accent: string;
  greeting: Record<string, string>;
  text_length: number;
  files: { most: number; bytes: number };
}

/** The server said no, and at which field or why, in a word; `status` 0 means that there was no answer. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfter = 0,
    readonly about = "",
  ) {
    super(message);
  }

  /** Whether asking again can help. */
  get isForNow(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

const SILENCE_MS = 45_000;
const ANSWER_MS = 20_000;
const UPLOAD_MS = 180_000;

export class Server {
  constructor(readonly base: string) {}

  config(): Promise<Config> {
    return this.#ask("config", {});
  }

  async newVisitor(): Promise<string> {
    return (await this.#ask<{ token: string }>("visitor", { method: "POST" })).token;
  }

  write(token: string, body: object): Promise<{ id: string }> {
    return this.#ask("messages", { method: "POST", body: JSON.stringify(body) }, token);
  }

  /** Hands a file over before it is sent; what names it in a message. */
  async upload(token: string, file: File): Promise<string> {
    const options = { method: "POST", body: file, signal: AbortSignal.timeout(UPLOAD_MS) };
    const response = await this.#fetch(`files?name=${encodeURIComponent(file.name)}`, options, token);
    return ((await response.json()) as { file: string }).file;
  }

  typing(token: string): void {
    void this.#ask("typing", { method: "POST" }, token).catch(() => undefined);
  }

  newest(token: string, before?: number): Promise<News> {
    return this.#ask(before === undefined ? "messages" : `messages?before=${before}`, {}, token);
  }

  /** Reads the stream until it ends; `heard` gets every piece of news, null says that somebody is typing. A silent
   * connection counts as a lost one. */
  async listen(token: string, after: number, stop: AbortSignal, heard: (news: News | null) => void): Promise<void> {
    const end = new AbortController();
    const abort = () => end.abort();
    let timer = setTimeout(abort, SILENCE_MS);
    stop.addEventListener("abort", abort);
    try {
      const response = await this.#fetch(`events?after=${after}`, { signal: end.signal }, token);
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(abort, SILENCE_MS);
        rest += value;
        const blocks = rest.split("\n\n");
        rest = blocks.pop()!;
        for (const block of blocks) {
          const data = block.split("\n").find((line) => line.startsWith("data: "));
          if (data) heard(block.startsWith("event: typing") ? null : (JSON.parse(data.slice(6)) as News));
        }
      }
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", abort);
    }
  }

  async #ask<T>(path: string, options: RequestInit, token = ""): Promise<T> {
    const response = await this.#fetch(path, { ...options, signal: AbortSignal.timeout(ANSWER_MS) }, token);
    return (await response.json()) as T;
  }

  async #fetch(path: string, options: RequestInit, token: string): Promise<Response> {
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
    if (typeof options.body === "string") headers["Content-Type"] = "application/json";
    let response: Response;
    try {
      response = await fetch(this.base + path, { ...options, headers, credentials: "omit", cache: "no-store" });
    } catch (error) {
      throw new Refusal(0, String(error));
    }
    if (response.ok) return response;
    const body = (await response.json().catch(() => null)) as { error?: { message?: string; code?: string; field?: string } } | null;
    const seconds = Number(response.headers.get("Retry-After")) || 0;
    const { message = "", code = "", field = "" } = body?.error ?? {};
    throw new Refusal(response.status, message, seconds, field || code);
  }
}
