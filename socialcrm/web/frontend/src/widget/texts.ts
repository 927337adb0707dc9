/** What the chat says by itself, in the language of the page. */

const en = {
  open: "Open the chat",
  close: "Close the chat",
  unread: (count: number) => `${count} unread`,
  log: "Messages",
  write: "Your message",
  send: "Send",
  you: "You",
  automatic: "Automatic answer",
  team: "Our team",
  sending: "Sending…",
  later: "Will be sent when the connection is back",
  wait: (seconds: number) => `That was a lot at once. Will be sent in ${seconds} s`,
  refused: "Not sent",
  whyRefused: {
    files: "A file is no longer there: attach it again.",
    text: "The text is empty or too long.",
    bad_origin: "This page may not use the chat.",
    other: "The chat does not accept it. Reload the page and try again.",
  } as Record<string, string>,
  remove: "Remove",
  edit: "Edit",
  offline: "No connection. What you write is kept.",
  tooLong: (length: number, limit: number) => `${length} of at most ${limit} characters`,
  earlier: "Earlier messages",
  chosen: "Your choice:",
  greeting: "Hello! How can we help you?",
  newWindow: "opens in a new window",
  typing: "We are writing an answer…",
  attach: "Attach files",
  picture: "Picture",
  file: "File",
  uploading: "Uploading…",
  removeFile: (name: string) => `Remove ${name}`,
  tooLarge: (name: string, megabytes: number) => `${name} is larger than ${megabytes} MB`,
  tooMany: (most: number) => `At most ${most} files at once`,
  badFile: (name: string) => `${name} cannot be sent here`,
  notUploaded: (name: string) => `${name} could not be uploaded. Try again`,
};

export type Texts = typeof en;

const fr: Texts = {
  open: "Ouvrir la discussion",
  close: "Fermer la discussion",
  unread: (count) => `${count} non ${count > 1 ? "lus" : "lu"}`,
  log: "Messages",
  write: "Votre message",
  send: "Envoyer",
  you: "Vous",
  automatic: "Réponse automatique",
  team: "Notre équipe",
  sending: "Envoi en cours…",
  later: "Partira dès le retour de la connexion",
  wait: (seconds) => `C’est beaucoup à la fois. Partira dans ${seconds} s`,
  refused: "Non envoyé",
  whyRefused: {
    files: "Un fichier n’est plus disponible : joignez-le de nouveau.",
    text: "Le texte est vide ou trop long.",
    bad_origin: "Cette page n’est pas autorisée à utiliser la discussion.",
    other: "La discussion ne l’accepte pas. Rechargez la page et réessayez.",
  },
  remove: "Supprimer",
  edit: "Modifier",
  offline: "Pas de connexion. Ce que vous écrivez est gardé.",
  tooLong: (length, limit) => `${length} caractères sur ${limit} au plus`,
  earlier: "Messages précédents",
  chosen: "Votre choix :",
  greeting: "Bonjour ! Comment pouvons-nous vous aider ?",
  newWindow: "s’ouvre dans une nouvelle fenêtre",
  typing: "Nous vous écrivons…",
  attach: "Joindre des fichiers",
  picture: "Image",
  file: "Fichier",
  uploading: "Téléversement…",
  removeFile: (name) => `Retirer ${name}`,
  tooLarge: (name, megabytes) => `${name} dépasse ${megabytes} Mo`,
  tooMany: (most) => `${most} fichiers au plus à la fois`,
  badFile: (name) => `${name} ne peut pas être envoyé ici`,
  notUploaded: (name) => `${name} n’a pas pu être téléversé. Réessayez`,
};

const ar: Texts = {
  open: "فتح المحادثة",
  close: "إغلاق المحادثة",
  unread: (count) => `غير مقروء: ${count}`,
  log: "الرسائل",
  write: "رسالتك",
  send: "إرسال",
  you: "أنت",
  automatic: "رد آلي",
  team: "فريقنا",
  sending: "جارٍ الإرسال…",
  later: "سترسل عند عودة الاتصال",
  wait: (seconds) => `رسائل كثيرة في وقت واحد. سترسل بعد ${seconds} ث`,
  refused: "لم ترسل",
  whyRefused: {
    files: "أحد الملفات لم يعد موجودا، أرفقوه من جديد.",
    text: "النص فارغ أو أطول من المسموح.",
    bad_origin: "لا يُسمح لهذه الصفحة باستعمال الدردشة.",
    other: "لم تقبل الدردشة الرسالة. أعيدوا تحميل الصفحة وحاولوا من جديد.",
  },
  remove: "حذف",
  edit: "تعديل",
  offline: "لا يوجد اتصال. ما تكتبه محفوظ.",
  tooLong: (length, limit) => `${length} حرفا من ${limit} على الأكثر`,
  earlier: "رسائل سابقة",
  chosen: "اختيارك:",
  greeting: "مرحبا! كيف يمكننا مساعدتك؟",
  newWindow: "يفتح في نافذة جديدة",
  typing: "نكتب لكم الرد…",
  attach: "إرفاق ملفات",
  picture: "صورة",
  file: "ملف",
  uploading: "جارٍ الرفع…",
  removeFile: (name) => `إزالة ${name}`,
  tooLarge: (name, megabytes) => `حجم ${name} يتجاوز ${megabytes} ميغابايت`,
  tooMany: (most) => `${most} ملفات على الأكثر في كل مرة`,
  badFile: (name) => `لا يمكن إرسال ${name} هنا`,
  notUploaded: (name) => `تعذر رفع ${name}. حاولوا من جديد`,
};

const ALL: Record<string, Texts> = { fr, ar, en };

export type Language = "fr" | "ar" | "en";

/** The language of the page where we know it, else French. */
export function pageLanguage(): Language {
  const code = document.documentElement.lang.slice(0, 2).toLowerCase();
  return code in ALL ? (code as Language) : "fr";
}

export function texts(language: Language): Texts {
  return ALL[language] ?? fr;
}
