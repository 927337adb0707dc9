/** Addresses in a text become links; everything else stays text. */

// Signs that turn the direction of writing cannot be part of an address: they would make it look like another one.
const ADDRESS = /https?:\/\/[^\s<>"'\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/gi;
const AFTER = /[.,;:!?…)\]}»”’،؛؟]+$/;

export function withLinks(text: string, hint: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = match[0].replace(AFTER, "");
    const url = URL.canParse(address) ? new URL(address) : null;
    if (!url || !["http:", "https:"].includes(url.protocol) || url.username) continue;
    const link = document.createElement("a");
    link.href = url.href;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    link.title = hint;
    link.dir = "ltr";
    link.textContent = address;
    parts.push(text.slice(end, match.index), link);
    end = match.index + address.length;
  }
  parts.push(text.slice(end));
  return parts;
}
