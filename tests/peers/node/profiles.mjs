// PROFILE and SUSPENSION items (docs/data-model.md).

import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { BatchGetCommand, DynamoDBDocumentClient, UpdateCommand } from '@aws-sdk/lib-dynamodb';
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

/** Whether the flag isBanned is set, or a suspension is in force. A reinstatement has `until` equal to `at`. */
export const isSuspended = (profile, suspension) => {
  if (profile?.isBanned || !suspension) return profile?.isBanned === true;
  const { at, until } = suspension;
  return until === undefined || (until > at && Date.now() < until);
};

/** Whether to deny the sign-in, the reason, and whether there is a profile (undefined if the table cannot be read). */
export const checkSuspension = async (id) => {
  try {
    const Keys = [profileKey(id), { PK: `SUSPENSION#${id}`, SK: 'SUSPENSION' }];
    const { Responses, UnprocessedKeys } = await dynamodb.send(
      new BatchGetCommand({ RequestItems: { [TABLE_NAME]: { Keys, ConsistentRead: true } } }),
    );
    if (Object.keys(UnprocessedKeys ?? {}).length > 0) throw new Error('DynamoDB returned only a part');
    const [profile, suspension] = ['PROFILE', 'SUSPENSION'].map((SK) =>
      Responses[TABLE_NAME]?.find((item) => item.SK === SK),
    );
    const denied = isSuspended(profile, suspension);
    return { denied, reason: denied ? 'suspended' : 'not_suspended', hasProfile: profile?.cognitoId !== undefined };
  } catch (error) {
    console.error(JSON.stringify({ level: 'ERROR', message: 'could not read the suspension', error: String(error) }));
    return { denied: ON_STORE_ERROR !== 'allow', reason: 'store_error' };
  }
};

/** Writes only missing attributes: a second confirmation changes nothing, and an earlier flag isBanned stays. */
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
