/** The slider of the FAQ's bar: what holds at the place where it stands, from figures that came with the page. */

interface Figure {
  bar: number;
  score: number | null;
  precision: number | null;
  low: number;
  high: number;
  given: number;
  right: number;
  recall: number;
}

export class FaqBar extends HTMLElement {
  connectedCallback(): void {
    const figures = JSON.parse(this.dataset["figures"] ?? "[]") as Figure[];
    const slider = this.querySelector<HTMLInputElement>("input[type=range]");
    slider?.addEventListener("input", () => this.show(figures, Number(slider.value)));
    if (slider) this.show(figures, Number(slider.value));
  }

  private show(figures: Figure[], bar: number): void {
    const found = figures.find((figure) => figure.bar === bar);
    if (!found) return;
    const language = document.documentElement.lang;
    const percent = new Intl.NumberFormat(language, { style: "percent" });
    const holds = found.score !== null;
    const values: Record<string, string> = {
      score: holds ? new Intl.NumberFormat(language, { minimumFractionDigits: 2 }).format(found.score ?? 0) : "–",
      precision: holds ? percent.format(found.precision ?? 0) : "–",
      range: holds ? `${percent.format(found.low)} – ${percent.format(found.high)}` : "–",
      recall: holds ? percent.format(found.recall) : "–",
      right: String(found.right),
      given: String(found.given),
    };
    for (const [name, value] of Object.entries(values)) {
      const place = this.querySelector(`[data-figure="${name}"]`);
      if (place) place.textContent = value;
    }
    const output = this.querySelector("output");
    if (output) output.textContent = percent.format(bar / 100);
    this.querySelector<HTMLElement>("[data-none-holds]")?.toggleAttribute("hidden", holds);
  }
}

/** The preview: what was typed is gone once it is said, and the newest line is in sight. */
export function followPreview(): void {
  document.addEventListener("htmx:after:swap", () => {
    const talk = document.querySelector("#flow-played .preview-talk");
    if (!talk) return;
    const field = document.querySelector<HTMLInputElement>("#flow-preview input[name=text]");
    if (field && talk.getAttribute("data-seen") === null) field.value = "";
    talk.setAttribute("data-seen", "");
    talk.scrollTop = talk.scrollHeight;
  });
}
