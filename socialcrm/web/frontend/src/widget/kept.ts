/** What the chat keeps in the visitor's browser: the token in a cookie of the page, the rest in its local storage. */

const COOKIE = "socialcrm_visitor";
const YEAR = 365 * 24 * 3600;
const KEPT_DAY = 24 * 3600 * 1000;

/** A message or a pressed button on its way to the server. */
export interface Draft {
  id: string;
  text: string;
  button?: string;
  files?: { file: string; name: string }[];
  at: number;
  state: "waiting" | "accepted" | "refused";
  reason?: string;
  page: string;
  language: string;
}

const memory = new Map<string, string>();

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return memory.get(key) ?? null;
  }
}

function write(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    if (value === null) memory.delete(key);
    else memory.set(key, value);
  }
}

function keys(): string[] {
  try {
    return Object.keys(localStorage);
  } catch {
    return [...memory.keys()];
  }
}

export class Kept {
  readonly #prefix: string;

  constructor(readonly channel: string) {
    this.#prefix = `socialcrm:${channel}:`;
  }

  /** One entry per message, so that two tabs never write over each other. */
  outbox(): Draft[] {
    const start = `${this.#prefix}out:`;
    const drafts: Draft[] = [];
    for (const key of keys()) {
      if (!key.startsWith(start)) continue;
      try {
        const draft = JSON.parse(read(key) ?? "") as Draft;
        if (draft.state === "accepted" && Date.now() - draft.at > KEPT_DAY) write(key, null);
        else drafts.push(draft);
      } catch {
        write(key, null);
      }
    }
    return drafts.sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  }

  put(draft: Draft): void {
    write(`${this.#prefix}out:${draft.id}`, JSON.stringify(draft));
  }

  has(id: string): boolean {
    return read(`${this.#prefix}out:${id}`) !== null;
  }

  drop(id: string): void {
    write(`${this.#prefix}out:${id}`, null);
  }

  get(name: string): string {
    return read(this.#prefix + name) ?? "";
  }

  set(name: string, value: string): void {
    write(this.#prefix + name, value || null);
  }

  /** Calls back when another tab of this site changed something of ours. */
  watch(changed: () => void): void {
    addEventListener("storage", (event) => {
      if (event.key === null || event.key.startsWith(this.#prefix)) changed();
    });
  }

  /** The visitor's token. The cookie holds one for each channel that this site shows: "key:token|key:token". */
  token(): string {
    return this.#tokens().get(this.channel) ?? "";
  }

  setToken(token: string): void {
    const all = this.#tokens();
    all.delete(this.channel);
    if (token) all.set(this.channel, token);
    const value = [...all].slice(-4).map((entry) => entry.join(":")).join("|");
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${COOKIE}=${value}; Max-Age=${value ? YEAR : 0}; Path=/; SameSite=Lax${secure}`;
    if (this.token() !== token) memory.set(COOKIE, value); // cookies are off: it lasts as long as the page
    else memory.delete(COOKIE);
    this.set("visitor", String(Date.now())); // other tabs hear of it
  }

  #tokens(): Map<string, string> {
    const cookie = document.cookie.split("; ").find((part) => part.startsWith(`${COOKIE}=`));
    const value = memory.get(COOKIE) ?? cookie?.slice(COOKIE.length + 1) ?? "";
    const entries = value.split("|").filter(Boolean).map((part): [string, string] => {
      const colon = part.indexOf(":");
      return [part.slice(0, colon), part.slice(colon + 1)];
    });
    return new Map(entries);
  }
}

/** Runs `work` in one tab at a time, where the browser has locks; elsewhere the server knows each message by its id. */
export function alone(name: string, work: () => Promise<void>): Promise<void> {
  return navigator.locks ? navigator.locks.request(name, work) : work();
}

/** An id for a message, also on pages without https, where `randomUUID` is missing. */
export function newId(): string {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 15) | 64;
  bytes[8] = (bytes[8]! & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
