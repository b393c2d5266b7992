// The PROFILE items of the table (docs/data-model.md), and the ban in them.

import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { clientConfig } from './config.mjs';

const { TABLE_NAME, ON_STORE_ERROR = 'deny' } = process.env;

const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient(clientConfig), {
  marshallOptions: { removeUndefinedValues: true },
});

const profileKey = (id) => ({ PK: `USER#${id}`, SK: 'PROFILE' });

/** What a banned user reads, whatever the reason. */
export class SignInDenied extends Error {
  name = 'sign_in_denied';

  constructor() {
    super('Sign-in is not possible, please contact support');
  }
}

/** Whether a ban is in force. A temporary ban ends by itself; a lifted one has `until` at its own `at`. */
const isBanned = ({ isBanned: flag = false, ban } = {}) => {
  if (!ban || ban.until <= ban.at) return flag;
  return ban.until === undefined || Date.now() < ban.until;
};

/** Whether the user may sign in, why, and whether there is a profile (undefined where the table did not answer). */
export const checkBan = async (id) => {
  try {
    const { Item } = await dynamodb.send(
      new GetCommand({
        TableName: TABLE_NAME,
        Key: profileKey(id),
        ConsistentRead: true,
        ProjectionExpression: 'cognitoId, isBanned, ban',
      }),
    );
    const denied = isBanned(Item);
    return { denied, reason: denied ? 'banned' : 'not_banned', hasProfile: Item?.cognitoId !== undefined };
  } catch (error) {
    console.error(JSON.stringify({ level: 'ERROR', message: 'the ban could not be read', error: String(error) }));
    return { denied: ON_STORE_ERROR !== 'allow', reason: 'store_error' };
  }
};

/** Writes what is not there yet: a second confirmation changes nothing, and a ban that was written first stays. */
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
