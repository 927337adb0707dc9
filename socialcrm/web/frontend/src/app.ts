import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/components.css";
import "./styles/inbox.css";
import "./styles/files.css";
import "./styles/posts.css";
import "./styles/suggestions.css";
import "./styles/bot.css";
import "./styles/routing.css";
import "./styles/sla.css";
import "./styles/rules.css";
import "./styles/cases.css";
import "./styles/sign-in.css";
import "./styles/surveys.css";
import "./styles/understanding.css";
import htmx from "htmx.org";
import "htmx.org/dist/ext/hx-sse.js";
import { FaqBar, followPreview } from "./bot/bar";
import { moveInBulk } from "./inbox/bulk";
import { ReplyComposer } from "./inbox/composer";
import { draftAnswers } from "./inbox/draft";
import { FilePicker } from "./inbox/files";
import { listenToKeys } from "./inbox/keyboard";
import { LiveUpdates } from "./inbox/live";
import { followRow } from "./inbox/queue";
import { AnswerSuggestions } from "./inbox/suggestions";
import { listenToTeaching } from "./inbox/teach";
import { MessageThread } from "./inbox/thread";
import { explainTags } from "./inbox/why";
import { closeMenus } from "./menus";
import { followSheet } from "./rules/sheet";
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
customElements.define("faq-bar", FaqBar);
showErrors();
followSheet();
closeMenus();
keepTimes();
// On a phone the pages stand in a row that scrolls: the one that is open stands in the middle.
document.querySelector('.rail-link[aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });
followRow();
explainTags();
draftAnswers();
followPreview();
listenToKeys();
moveInBulk();
listenToTeaching();
judgeByKeys();
