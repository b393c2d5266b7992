// Renders messages. Each language has a file with its texts. The layout is here.

import de from './de.mjs';
import en from './en.mjs';
import es from './es.mjs';
import fr from './fr.mjs';
import ja from './ja.mjs';
import pt from './pt.mjs';

const LOCALES = { de, en, es, fr, ja, pt };

export const isLocale = (locale) => Object.hasOwn(LOCALES, locale);

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text) => text?.replace(/[&<>"']/g, (character) => ESCAPES[character]);

const paragraph = (text) => `<p style="margin:0 0 16px">${text}</p>`;

const button = (href, label) => `<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:8px 0 24px"><tr>
<td class="btn" bgcolor="#1d4ed8" style="border-radius:6px;background-color:#1d4ed8;mso-padding-alt:12px 24px">
<a class="btn" href="${href}" style="display:inline-block;padding:12px 24px;border-radius:6px;background-color:#1d4ed8;color:#ffffff;font-family:Helvetica,Arial,sans-serif;font-size:16px;font-weight:bold;line-height:24px;text-decoration:none">${label}</a>
</td></tr></table>`;

const codeBox = (code) => `<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 24px"><tr>
<td class="box" align="center" bgcolor="#f1f5f9" style="padding:16px;border-radius:6px;background-color:#f1f5f9;color:#0f172a;font-family:Consolas,Menlo,'Courier New',monospace;font-size:30px;font-weight:bold;letter-spacing:4px;line-height:38px">${code}</td>
</tr></table>`;

const credentials = (usernameLabel, username, passwordLabel, password) => `<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 24px"><tr>
<td class="box" bgcolor="#f1f5f9" style="padding:16px 20px;border-radius:6px;background-color:#f1f5f9;color:#0f172a;font-family:Helvetica,Arial,sans-serif;font-size:14px;line-height:22px">
${usernameLabel}<br><strong style="font-family:Consolas,Menlo,'Courier New',monospace;font-size:18px;line-height:28px;word-break:break-all">${username}</strong><br><br>
${passwordLabel}<br><strong style="font-family:Consolas,Menlo,'Courier New',monospace;font-size:18px;line-height:28px;word-break:break-all">${password}</strong>
</td></tr></table>`;

const layout = (lang, product, content, footer) => `<!DOCTYPE html>
<html lang="${lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="format-detection" content="telephone=no,date=no,address=no,email=no,url=no">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${product}</title>
<style>
:root { color-scheme: light dark; supported-color-schemes: light dark; }
</style>
<style>
@media (prefers-color-scheme: dark) {
  .page { background-color: #0b1120 !important; }
  .card { background-color: #1e293b !important; color: #f1f5f9 !important; }
  .box { background-color: #334155 !important; color: #f8fafc !important; }
  .btn { background-color: #2563eb !important; color: #ffffff !important; }
  .mute, .mute a { color: #a3b1c6 !important; }
}
</style>
</head>
<body class="page" bgcolor="#eef2f7" style="margin:0;padding:0;background-color:#eef2f7">
<div role="article" lang="${lang}">
<table class="page" role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" bgcolor="#eef2f7" style="background-color:#eef2f7"><tr>
<td align="center" style="padding:24px 12px">
<!--[if mso]><table role="presentation" width="600" align="center" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->
<table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" style="width:100%;max-width:600px">
<tr><td class="mute" style="padding:0 24px 16px;color:#475569;font-family:Helvetica,Arial,sans-serif;font-size:16px;font-weight:bold;line-height:24px;word-break:break-word;overflow-wrap:anywhere">${product}</td></tr>
<tr><td class="card" bgcolor="#ffffff" style="padding:32px 24px 16px;border-radius:8px;background-color:#ffffff;color:#0f172a;font-family:Helvetica,Arial,sans-serif;font-size:16px;line-height:26px;word-break:break-word;overflow-wrap:anywhere">
${content}
</td></tr>
<tr><td class="mute" style="padding:16px 24px 0;color:#475569;font-family:Helvetica,Arial,sans-serif;font-size:13px;line-height:20px;word-break:break-word;overflow-wrap:anywhere">
${footer}
</td></tr>
</table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr></table>
</div>
</body>
</html>`;

/** Renders the message `kind` in the language `locale`: subject and SMS as plain text, the email as HTML. */
export const render = (kind, locale, { product, name, code, username, link, supportUrl }) => {
  const texts = LOCALES[locale];
  const message = texts[kind];
  // Code, username and link contain Cognito's placeholders, which must not be escaped.
  const plain = { product, code, username };
  const html = { product: escape(product), name: escape(name), code, username, url: escape(supportUrl) };
  const say = (text, fields) => (typeof text === 'function' ? text(fields) : text);

  const content = [
    `<h1 style="margin:0 0 16px;font-size:24px;line-height:32px">${say(message.heading, html)}</h1>`,
    paragraph(say(name ? texts.helloName : texts.hello, html)),
    paragraph(say(message.intro, html)),
  ];
  if (message.passwordLabel) {
    content.push(credentials(message.usernameLabel, username, message.passwordLabel, code));
  }
  if (link) content.push(button(link, say(message.button, html)));
  if (message.enterCode) content.push(paragraph(say(link ? message.orCode : message.enterCode, html)));
  if (!message.passwordLabel) content.push(codeBox(code));
  content.push(paragraph(say(message.note, html)));

  const footer = say(message.reason, html) + (supportUrl ? say(texts.support, html) : '');
  return {
    subject: say(message.subject, plain),
    sms: say(message.sms, plain),
    html: layout(locale === 'pt' ? 'pt-BR' : locale, html.product, content.join('\n'), footer),
  };
};
