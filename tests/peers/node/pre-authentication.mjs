// Is a ban in force?

import { createEvent, send, userId } from './events.mjs';
import { SignInDenied, checkBan } from './profiles.mjs';

/** What the client says of itself. */
const claimedByClient = (validationData) => {
  const claim = (name) => (typeof validationData?.[name] === 'string' ? validationData[name].slice(0, 256) : undefined);
  const [ip, userAgent] = [claim('ip'), claim('userAgent')];
  return ip || userAgent ? { ip, userAgent } : undefined;
};

export const handler = async (event) => {
  const id = userId(event);
  const { denied, reason } = await checkBan(id);

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
