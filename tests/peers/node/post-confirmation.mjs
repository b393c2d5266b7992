// Writes the profile, and publishes that the user was confirmed.

import { createEvent, send, userConfirmed, userId } from './events.mjs';
import { writeProfile } from './profiles.mjs';

export const handler = async (event) => {
  const id = userId(event);
  if (event.triggerSource === 'PostConfirmation_ConfirmSignUp') {
    const message = userConfirmed(event);
    // Cognito has already confirmed the user, so a failure must not become an error of the trigger.
    const write = writeProfile(id, message).catch((error) =>
      console.error(JSON.stringify({ level: 'ERROR', message: 'could not write the profile', error: String(error) })),
    );
    await Promise.all([write, send(message)]);
  } else if (event.triggerSource === 'PostConfirmation_ConfirmForgotPassword') {
    await send(createEvent(event, 'user.password_reset', id, {}));
  }
  return event;
};
