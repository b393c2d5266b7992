// Decides by the email domain who may sign up.

import { domainToASCII } from 'node:url';
import { createEvent, send } from './events.mjs';

const list = (name) => (process.env[name] ?? '').split(',').map((item) => item.trim().toLowerCase()).filter(Boolean);
const flag = (name) => process.env[name] === 'true';

const blocked = list('BLOCKED_EMAIL_DOMAINS');
const allowed = list('ALLOWED_EMAIL_DOMAINS');
const trusted = list('TRUSTED_EMAIL_DOMAINS');
const skipVerification = flag('TRUSTED_DOMAINS_SKIP_VERIFICATION');
const allowWithoutEmail = flag('ALLOW_WITHOUT_EMAIL');
const checkAdminCreated = flag('CHECK_ADMIN_CREATED');

const CHANNELS = {
  PreSignUp_SignUp: 'self',
  PreSignUp_AdminCreateUser: 'admin',
  PreSignUp_ExternalProvider: 'external',
};

class SignUpDenied extends Error {
  name = 'sign_up_denied';

  constructor() {
    super('Sign-up is not possible with this email address');
  }
}

const ADDRESS = /^[\w#$&'*+/=?^`{|}~-]+(?:\.[\w#$&'*+/=?^`{|}~-]+)*@(.+?)\.?$/;
const DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/;

/** The domain of a plain email address, in lower case. Undefined for other texts. */
const domainOf = (address) => {
  if (address.length > 254) return undefined;
  const [, domain] = ADDRESS.exec(address) ?? [];
  const ascii = domain && domainToASCII(domain);
  return ascii && DOMAIN.test(ascii) ? ascii : undefined;
};

/** The domain of the first pattern that matches: `example.com`, or `*.example.com` for all subdomains. */
const match = (patterns, domain) => {
  const found = patterns.find((pattern) =>
    pattern.startsWith('*.') ? domain.endsWith(pattern.slice(1)) : domain === pattern,
  );
  return found?.replace(/^\*\./, '');
};

const decide = (channel, email) => {
  const domain = email ? domainOf(email) : undefined;
  if (channel === 'admin' && !checkAdminCreated) {
    return { outcome: 'allowed', reason: 'admin_created', domain: domain ?? (email ? 'invalid' : 'none') };
  }
  if (!email) return { outcome: allowWithoutEmail ? 'allowed' : 'denied', reason: 'no_email', domain: 'none' };
  if (!domain) return { outcome: 'denied', reason: 'invalid_address', domain: 'invalid' };

  const blockedBy = match(blocked, domain);
  if (blockedBy) return { outcome: 'denied', reason: 'blocked_domain', domain: blockedBy };
  const trustedBy = match(trusted, domain);
  if (trustedBy) {
    const outcome = skipVerification && channel === 'self' ? 'auto_confirmed' : 'allowed';
    return { outcome, reason: 'trusted_domain', domain: trustedBy };
  }
  const allowedBy = match(allowed, domain);
  if (allowedBy) return { outcome: 'allowed', reason: 'allowed_domain', domain: allowedBy };
  if (allowed.length === 0) return { outcome: 'allowed', reason: 'any_domain', domain };
  return { outcome: 'denied', reason: 'domain_not_allowed', domain: 'other' };
};

export const handler = async (event) => {
  const channel = CHANNELS[event.triggerSource] ?? 'other';
  const { outcome, reason, domain } = decide(channel, event.request.userAttributes?.email);

  await send(createEvent(event, 'user.sign_up_attempted', `domain:${domain}`, { outcome, reason, channel }));

  if (outcome === 'denied') throw new SignUpDenied();
  if (outcome === 'auto_confirmed') {
    event.response.autoConfirmUser = true;
    event.response.autoVerifyEmail = true;
  }
  return event;
};
