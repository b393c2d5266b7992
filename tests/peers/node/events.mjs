// The messages of the user-events queue: one CloudEvents 1.0 event each (events/schema/event.json).

import { randomUUID } from 'node:crypto';
import { SQSClient, SendMessageBatchCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import { clientConfig } from './config.mjs';

const QUEUE_URL = process.env.USER_EVENTS_QUEUE_URL;

const sqs = new SQSClient(clientConfig);

/** The key of the user: the sub, or where Cognito sends none, the username. */
export const userId = (event) => event.request.userAttributes?.sub || event.userName;

/** A message about `subject` that follows from what Cognito sent. */
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

/** The message that a user's account was confirmed. Its id is the same however often it is sent. */
export const userConfirmed = (event) => {
  const { email, email_verified: emailVerified, name } = event.request.userAttributes;
  const id = userId(event);
  const data = { username: event.userName, email, email_verified: emailVerified === 'true', name };
  return createEvent(event, 'user.confirmed', id, data, `${id}-confirmed`);
};

const toMessage = (message) => ({
  MessageBody: JSON.stringify(message),
  // Fair queues: one flooding user does not delay the others.
  MessageGroupId: /^[!-~]{1,128}$/.test(message.subject) ? message.subject : undefined,
});

const logLost = (message, error) =>
  console.error(JSON.stringify({ level: 'ERROR', message: 'event not sent', event: message, error: String(error) }));

/** Sends a message. Where SQS fails, it goes to the log, and the sign-in goes on. */
export const send = async (message, queueUrl = QUEUE_URL) => {
  try {
    await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, ...toMessage(message) }));
  } catch (error) {
    logLost(message, error);
  }
};

/** Sends several messages in one call. */
export const sendAll = async (messages) => {
  if (messages.length === 1) return send(messages[0]);
  try {
    const Entries = messages.map((message, index) => ({ Id: String(index), ...toMessage(message) }));
    const { Failed = [] } = await sqs.send(new SendMessageBatchCommand({ QueueUrl: QUEUE_URL, Entries }));
    Failed.forEach(({ Id, Code }) => logLost(messages[Number(Id)], Code));
  } catch (error) {
    messages.forEach((message) => logLost(message, error));
  }
};
