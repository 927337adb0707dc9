/** Errors of htmx requests as sentences at the bottom of the page. */

const SHOWN_MS = 8000;

export function toast(sentence: string): void {
  const place = document.getElementById("toasts");
  if (!place || !sentence) return;
  const note = document.createElement("div");
  note.className = "toast";
  const words = document.createElement("span");
  words.textContent = sentence;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "✕";
  close.addEventListener("click", () => note.remove());
  note.append(words, close);
  place.replaceChildren(note);
  setTimeout(() => note.remove(), SHOWN_MS);
}

export function showErrors(): void {
  document.addEventListener("htmx:response:error", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: { response: { status: number }; text: string } }>).detail;
    if (ctx.response.status !== 401) toast(ctx.text.slice(0, 300));
  });
  document.addEventListener("htmx:error", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx?: { sourceElement?: Element } }>).detail;
    if (!ctx || ctx.sourceElement?.localName === "live-updates") return; // it says so itself, and tries again
    toast(document.getElementById("toasts")?.dataset["offline"] ?? "");
  });
}
