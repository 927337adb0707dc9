/** A draft by a language model: asked for with a button, put into the composer where the agent changes and sends it. */

import type { ReplyComposer } from "./composer";
import { toast } from "../toasts";

const ABSENT = /\[[^\]\n]+\]/; // [phone], [name]…: what the model did not know

export function draftAnswers(): void {
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLButtonElement>("button[data-draft]") : null;
    if (button && !button.disabled) void fetchDraft(button);
  });
}

async function fetchDraft(button: HTMLButtonElement): Promise<void> {
  const form = button.closest("form");
  const token = form?.querySelector<HTMLInputElement>("input[name=csrf_token]")?.value ?? "";
  const conversation = button.dataset["draft"];
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(conversation!, { method: "POST", body: new URLSearchParams({ csrf_token: token }), headers: { "HX-Request": "true" } });
    const text = await answer.text();
    if (answer.ok && !answer.redirected) document.querySelector<ReplyComposer>("reply-composer")?.insert(text, ABSENT.exec(text));
    else toast(text);
  } catch {
    toast(button.dataset["failed"] ?? "");
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}
