// Messages of the queue user-events. Each contains one CloudEvents 1.0 event (events/schema/event.json).

import { randomUUID } from 'node:crypto';
import { SQSClient, SendMessageBatchCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import { clientConfig } from './config.mjs';

const QUEUE_URL = process.env.USER_EVENTS_QUEUE_URL;

const sqs = new SQSClient(clientConfig);

/** The user's sub, or the username if Cognito sends no sub. */
export const userId = (event) => event.request.userAttributes?.sub || event.userName;

/** An event about `subject`, caused by the trigger event `event`. */
export const createEvent = (event, type, subject, data, id = randomUUID()) => ({
  specversion: '1.0',
  id,
  source: `/cognito/${event.userPoolId}`,
  type,
  subject,
  time: new Date().toISOString(),
  datacontenttype: 'application/json',
  data,
});

/** The event that a user's account was confirmed. All repetitions have the same id. */
export const userConfirmed = (event) => {
  const { email, email_verified: emailVerified, name } = event.request.userAttributes;
  const id = userId(event);
  const data = { username: event.userName, email, email_verified: emailVerified === 'true', name };
  return createEvent(event, 'user.confirmed', id, data, `${id}-confirmed`);
};

const toMessage = (message) => ({
  MessageBody: JSON.stringify(message),
  // Fair queues: many messages of one user do not delay those of other users.
  MessageGroupId: /^[!-~]{1,128}$/.test(message.subject) ? message.subject : undefined,
});

const logUnsentEvent = (message, error) =>
  console.error(JSON.stringify({ level: 'ERROR', message: 'unsent event', event: message, error: String(error) }));

/** Sends a message. If SQS fails, the message goes to the log and the sign-in continues. */
export const send = async (message, queueUrl = QUEUE_URL) => {
  try {
    await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, ...toMessage(message) }));
  } catch (error) {
    logUnsentEvent(message, error);
  }
};

/** Sends messages in one call. */
export const sendAll = async (messages) => {
  if (messages.length === 1) return send(messages[0]);
  try {
    const Entries = messages.map((message, index) => ({ Id: String(index), ...toMessage(message) }));
    const { Failed = [] } = await sqs.send(new SendMessageBatchCommand({ QueueUrl: QUEUE_URL, Entries }));
    Failed.forEach(({ Id, Code }) => logUnsentEvent(messages[Number(Id)], Code));
  } catch (error) {
    messages.forEach((message) => logUnsentEvent(message, error));
  }
};
