// PROFILE items (docs/data-model.md), including suspensions.

import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { clientConfig } from './config.mjs';

const { TABLE_NAME, ON_STORE_ERROR = 'deny' } = process.env;

const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient(clientConfig), {
  marshallOptions: { removeUndefinedValues: true },
});

const profileKey = (id) => ({ PK: `USER#${id}`, SK: 'PROFILE' });

/** The same text for every reason. */
export class SignInDenied extends Error {
  name = 'sign_in_denied';

  constructor() {
    super('Sign-in is not possible, please contact support');
  }
}

/** Whether a suspension is in force. A temporary one ends at `until`. A reinstatement has `until` equal to `at`. */
const isSuspended = ({ isBanned = false, suspension } = {}) => {
  if (!suspension || suspension.until <= suspension.at) return isBanned;
  return suspension.until === undefined || Date.now() < suspension.until;
};

/** Whether to deny the sign-in, the reason, and whether there is a profile (undefined if the table cannot be read). */
export const checkSuspension = async (id) => {
  try {
    const { Item } = await dynamodb.send(
      new GetCommand({
        TableName: TABLE_NAME,
        Key: profileKey(id),
        ConsistentRead: true,
        ProjectionExpression: 'cognitoId, isBanned, suspension',
      }),
    );
    const denied = isSuspended(Item);
    return { denied, reason: denied ? 'suspended' : 'not_suspended', hasProfile: Item?.cognitoId !== undefined };
  } catch (error) {
    console.error(JSON.stringify({ level: 'ERROR', message: 'could not read the suspension', error: String(error) }));
    return { denied: ON_STORE_ERROR !== 'allow', reason: 'store_error' };
  }
};

/** Writes only missing attributes: a second confirmation changes nothing, and an earlier suspension stays. */
export const writeProfile = async (id, { data, time }) => {
  const attributes = Object.entries({
    cognitoId: id,
    username: data.username,
    email: data.email,
    name: data.name,
    createdAt: Date.parse(time),
    isEmailVerified: data.email_verified,
    isBanned: false,
  }).filter(([, value]) => value !== undefined);
  await dynamodb.send(
    new UpdateCommand({
      TableName: TABLE_NAME,
      Key: profileKey(id),
      UpdateExpression: `SET ${attributes.map(([name]) => `#${name} = if_not_exists(#${name}, :${name})`).join(', ')}`,
      ExpressionAttributeNames: Object.fromEntries(attributes.map(([name]) => [`#${name}`, name])),
      ExpressionAttributeValues: Object.fromEntries(attributes.map(([name, value]) => [`:${name}`, value])),
    }),
  );
};
