import { defineConfig } from "vite";

// The chat for other people's pages: one file that is loaded by a script tag, without imports.
export default defineConfig({
  publicDir: false,
  build: {
    outDir: "../static",
    emptyOutDir: false,
    target: "es2022",
    lib: { entry: "src/widget/main.ts", formats: ["iife"], name: "socialcrmChat", fileName: () => "widget.js" },
  },
});
