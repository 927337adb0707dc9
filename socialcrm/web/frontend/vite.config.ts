import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig } from "vite";

const here = import.meta.dirname;
const entries = { app: "src/app.ts", reports: "src/reports/reports.ts", demo: "src/styles/demo.css" };
const there = Object.entries(entries).filter(([, file]) => existsSync(resolve(here, file)));

// Names without a hash: the pages add ?v=<hash of the content> themselves, so no manifest is read at run time.
export default defineConfig({
  base: "/static/",
  build: {
    outDir: resolve(here, "../static"),
    emptyOutDir: true,
    target: "es2023",
    cssTarget: ["chrome123", "firefox128", "safari17.5"],
    cssCodeSplit: true,
    chunkSizeWarningLimit: 1500,
    rolldownOptions: {
      input: Object.fromEntries(there.map(([name, file]) => [name, resolve(here, file)])),
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
