/** The chat for a brand's own pages: `<script src="…/static/widget.js" data-channel="KEY" async></script>`. */

import { showChat } from "./panel";
import { Server } from "./server";
import { pageLanguage } from "./texts";

const script = document.currentScript as HTMLScriptElement | null;
const channel = script?.dataset["channel"] ?? "";

if (script && channel && !document.querySelector(`[data-socialcrm-chat="${CSS.escape(channel)}"]`)) {
  const server = new Server(new URL(`../widget/${encodeURIComponent(channel)}/`, script.src).href);
  const start = async () => showChat(server, channel, await server.config(), pageLanguage());
  const begin = () => void start().catch((error: Error) => console.warn(`SocialCRM chat: ${error.message}`));
  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
}
