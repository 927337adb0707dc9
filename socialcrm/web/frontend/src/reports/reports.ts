import embed from "vega-embed";
import { expressionInterpreter } from "vega-interpreter";
import type { VisualizationSpec } from "vega-embed";

/** Draws the chart of `data-src` when it comes into view. Expressions are interpreted: the page's CSP forbids eval. */
class ReportChart extends HTMLElement {
  connectedCallback(): void {
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      this.draw().catch(() => this.fail());
    }, { rootMargin: "300px" });
    seen.observe(this);
  }

  private async draw(): Promise<void> {
    const answer = await fetch(this.dataset["src"] ?? "", { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const spec = (await answer.json()) as VisualizationSpec;
    const plot = document.createElement("div");
    plot.className = "chart-plot";
    this.replaceChildren(plot);
    await embed(plot, spec, {
      actions: false,
      ast: true,
      defaultStyle: false,
      expr: expressionInterpreter,
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
      loader: { target: "_self" },
    });
  }

  private fail(): void {
    const said = document.createElement("p");
    said.className = "report-empty";
    said.textContent = this.dataset["failed"] ?? "";
    this.replaceChildren(said);
  }
}

customElements.define("report-chart", ReportChart);

for (const form of document.querySelectorAll<HTMLFormElement>("form[data-filters]")) {
  form.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) form.requestSubmit();
  });
}
