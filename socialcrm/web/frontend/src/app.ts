import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/components.css";
import "./styles/inbox.css";
import "./styles/files.css";
import "./styles/posts.css";
import "./styles/suggestions.css";
import "./styles/sign-in.css";
import "./styles/understanding.css";
import htmx from "htmx.org";
import "htmx.org/dist/ext/hx-sse.js";
import { ReplyComposer } from "./inbox/composer";
import { FilePicker } from "./inbox/files";
import { listenToKeys } from "./inbox/keyboard";
import { LiveUpdates } from "./inbox/live";
import { followRow } from "./inbox/queue";
import { AnswerSuggestions } from "./inbox/suggestions";
import { listenToTeaching } from "./inbox/teach";
import { MessageThread } from "./inbox/thread";
import { explainTags } from "./inbox/why";
import { closeMenus } from "./menus";
import { keepTimes } from "./times";
import { showErrors } from "./toasts";
import { judgeByKeys } from "./understanding/sample";

import.meta.glob("./styles/{reports,admin,public}.css", { eager: true });

// What a person has folded open stays open when a live update brings the same element again.
htmx.registerExtension("keep-open", {
  htmx_before_morph_attr: (element: Element, detail: { attrName: string }) =>
    !(element instanceof HTMLDetailsElement && detail.attrName === "open"),
});

customElements.define("message-thread", MessageThread);
customElements.define("file-picker", FilePicker);
customElements.define("reply-composer", ReplyComposer);
customElements.define("answer-suggestions", AnswerSuggestions);
customElements.define("live-updates", LiveUpdates);
showErrors();
closeMenus();
keepTimes();
followRow();
explainTags();
listenToKeys();
listenToTeaching();
judgeByKeys();
