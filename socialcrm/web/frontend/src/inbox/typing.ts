/** Says that the customer of the open conversation is writing, for some seconds after the last sign of it. */

const SHOWN_MS = 6_000;
let timer: number | undefined;

export function showTyping(): void {
  const place = document.getElementById("contact-typing");
  if (!place) return;
  if (place.hidden) {
    place.hidden = false;
    place.textContent = place.dataset["words"] ?? "";
  }
  clearTimeout(timer);
  timer = window.setTimeout(hideTyping, SHOWN_MS);
}

export function hideTyping(): void {
  const place = document.getElementById("contact-typing");
  if (!place || place.hidden) return;
  place.textContent = "";
  place.hidden = true;
}
