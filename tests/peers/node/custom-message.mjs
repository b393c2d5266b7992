// Renders the email or SMS that Cognito is about to send.

import { createEvent, send, userId } from './events.mjs';
import { isLocale, render } from './messages/index.mjs';

const { PRODUCT_NAME, SUPPORT_URL, LINK_BASE_URL, DEFAULT_LOCALE = 'en' } = process.env;
const emailThroughSes = process.env.EMAIL_THROUGH_SES === 'true';

const KINDS = {
  CustomMessage_SignUp: 'sign_up',
  CustomMessage_AdminCreateUser: 'admin_create_user',
  CustomMessage_ResendCode: 'resend_code',
  CustomMessage_ForgotPassword: 'forgot_password',
  CustomMessage_UpdateUserAttribute: 'update_user_attribute',
  CustomMessage_VerifyUserAttribute: 'verify_user_attribute',
  CustomMessage_Authentication: 'authentication',
};

/** The language of a tag such as `pt-BR`, or the default language if it has no messages. */
const localeOf = (tag = '') => {
  const language = tag.split(/[-_]/)[0].toLowerCase();
  return isLocale(language) ? language : DEFAULT_LOCALE;
};

/** The name for the greeting. Anyone can sign up with another person's address and any text as the name. So a message
 * contains a name only if it certainly belongs to the reader, and only if it looks like a name. */
const nameFor = (kind, { name, email_verified: emailVerified }) => {
  const isReaders =
    kind === 'admin_create_user' ||
    (['forgot_password', 'authentication'].includes(kind) && emailVerified === 'true');
  return isReaders && /^(?!.*\w\.\w)[\p{L}\p{M}' .&-]{1,60}$/u.test(name ?? '') ? name : undefined;
};

/** URL of the page that accepts the code. It never contains a temporary password or a second factor. */
const linkFor = (kind, username, code) => {
  if (!LINK_BASE_URL || kind === 'authentication') return undefined;
  const page = `${LINK_BASE_URL.replace(/\/+$/, '')}/${kind.replaceAll('_', '-')}`;
  return kind === 'admin_create_user' ? page : `${page}?username=${encodeURIComponent(username)}&code=${code}`;
};

/** The message. Undefined if Cognito would reject it: Cognito then sends its default message. */
const renderMessage = (kind, locale, event) => {
  const { codeParameter: code, usernameParameter: username, userAttributes } = event.request;
  if (!code || (kind === 'admin_create_user' && !username)) return undefined;
  const message = render(kind, locale, {
    product: PRODUCT_NAME,
    name: nameFor(kind, userAttributes),
    code,
    username,
    link: linkFor(kind, event.userName, code),
    supportUrl: SUPPORT_URL,
  });
  const fits = message.subject.length <= 140 && message.html.length <= 20_000 && message.sms.length <= 140;
  return fits ? message : undefined;
};

export const handler = async (event) => {
  const kind = KINDS[event.triggerSource];
  if (!kind) return event;

  const locale = localeOf(event.request.userAttributes.locale);
  const message = renderMessage(kind, locale, event);
  let channel = 'default';
  if (message) {
    channel = emailThroughSes ? 'email_and_sms' : 'sms';
    event.response.smsMessage = message.sms;
    if (emailThroughSes) {
      event.response.emailSubject = message.subject;
      event.response.emailMessage = message.html;
    }
  }

  await send(createEvent(event, 'user.message_requested', userId(event), { kind, channel, locale }));
  return event;
};
