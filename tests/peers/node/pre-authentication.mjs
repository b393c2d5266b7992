// Denies the sign-in of a suspended user.

import { createEvent, send, userId } from './events.mjs';
import { SignInDenied, checkSuspension } from './profiles.mjs';

/** IP address and user agent as the client reports them. */
const claimedByClient = (validationData) => {
  const claim = (name) => (typeof validationData?.[name] === 'string' ? validationData[name].slice(0, 256) : undefined);
  const [ip, userAgent] = [claim('ip'), claim('userAgent')];
  return ip || userAgent ? { ip, userAgent } : undefined;
};

export const handler = async (event) => {
  const id = userId(event);
  const { denied, reason } = await checkSuspension(id);

  const subject = event.request.userNotFound ? 'unknown' : id;
  await send(
    createEvent(event, 'user.sign_in_attempted', subject, {
      flow: 'pre_authentication',
      outcome: denied ? 'denied' : 'allowed',
      reason,
      claimed_by_client: claimedByClient(event.request.validationData),
    }),
  );

  if (denied) throw new SignInDenied();
  return event;
};
