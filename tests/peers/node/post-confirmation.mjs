// Writes the profile, and says that the user is there.

import { createEvent, send, userConfirmed, userId } from './events.mjs';
import { writeProfile } from './profiles.mjs';

export const handler = async (event) => {
  const id = userId(event);
  if (event.triggerSource === 'PostConfirmation_ConfirmSignUp') {
    const message = userConfirmed(event);
    // The user is confirmed by now: whatever happens, the answer is yes.
    const write = writeProfile(id, message).catch((error) =>
      console.error(JSON.stringify({ level: 'ERROR', message: 'the profile was not written', error: String(error) })),
    );
    await Promise.all([write, send(message)]);
  } else if (event.triggerSource === 'PostConfirmation_ConfirmForgotPassword') {
    await send(createEvent(event, 'user.password_reset', id, {}));
  }
  return event;
};
