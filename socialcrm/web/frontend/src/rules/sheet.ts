/** A sheet that came back with a line more or less has the focus where the work goes on. */
export function followSheet(): void {
  document.addEventListener("htmx:after:swap", () => {
    const sheet = document.getElementById("sheet");
    const wanted = sheet?.dataset.focus;
    if (!sheet || !wanted) return;
    delete sheet.dataset.focus;
    document.getElementById(wanted)?.focus();
  });
}
