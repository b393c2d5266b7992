// Answers GET /api/dashboard of an HTTP API, payload 2.0: the dashboard of the user whose access token API Gateway has
// verified.

import { createHash } from 'node:crypto';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { BatchGetCommand, DynamoDBDocumentClient, QueryCommand } from '@aws-sdk/lib-dynamodb';
import { clientConfig } from './config.mjs';
import { isSuspended } from './profiles.mjs';

const { TABLE_NAME, CLIENT_IDS = '', ISSUER_URL, MAX_CACHE_LIFETIME_SECONDS = '60' } = process.env;
const clientIds = CLIENT_IDS.split(',');
const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient(clientConfig));

const SHOWN_ACTIVITIES = 10;
const SHOWN_NOTIFICATIONS = 50;

const problem = (status, title) => ({
  statusCode: status,
  headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
  body: JSON.stringify({ type: 'about:blank', title, status }),
});

const isValid = ({ token_use: use, client_id: client, iss, exp }) =>
  use === 'access' && clientIds.includes(client) && iss === ISSUER_URL && Number(exp) * 1000 > Date.now();

const time = (millis) => (millis === undefined ? undefined : new Date(millis).toISOString());

/** STATS, PROFILE and SUSPENSION of a user. */
const readUser = async (sub) => {
  const Keys = [
    { PK: `USER#${sub}`, SK: 'STATS' },
    { PK: `USER#${sub}`, SK: 'PROFILE' },
    { PK: `SUSPENSION#${sub}`, SK: 'SUSPENSION' },
  ];
  const { Responses, UnprocessedKeys } = await dynamodb.send(
    new BatchGetCommand({ RequestItems: { [TABLE_NAME]: { Keys, ConsistentRead: true } } }),
  );
  if (Object.keys(UnprocessedKeys ?? {}).length > 0) throw new Error('DynamoDB returned only a part');
  const item = (SK) => Responses[TABLE_NAME]?.find((found) => found.SK === SK);
  return { stats: item('STATS') ?? {}, profile: item('PROFILE') ?? {}, suspension: item('SUSPENSION') };
};

/** Unread notifications, and then the latest activities, both latest first. */
const readLists = async (sub) => {
  const { Items = [] } = await dynamodb.send(
    new QueryCommand({
      TableName: TABLE_NAME,
      KeyConditionExpression: 'PK = :pk AND SK BETWEEN :first AND :last',
      ExpressionAttributeValues: {
        ':pk': `USER#${sub}`,
        ':first': 'LIST#activities#',
        ':last': 'LIST#notifications#~',
      },
      ConsistentRead: true,
      ScanIndexForward: false,
      Limit: SHOWN_NOTIFICATIONS + SHOWN_ACTIVITIES,
    }),
  );
  const now = Date.now() / 1000;
  const of = (name) => Items.filter(({ SK, expiresAt }) => SK.startsWith(`LIST#${name}#`) && expiresAt > now);
  return { notifications: of('notifications').slice(0, SHOWN_NOTIFICATIONS), activities: of('activities') };
};

const dashboard = (sub, { stats, profile }, lists) => ({
  user: {
    sub,
    name: profile.name,
    username: profile.username,
    preferredUsername: profile.preferredUsername,
    createdAt: time(profile.createdAt),
  },
  statistics: {
    orders: stats.orders ?? 0,
    ordersCancelled: stats.ordersCancelled ?? 0,
    spent: Object.entries(stats.spent ?? {}).map(([currency, amount]) => ({ currency, amount })),
    activities: stats.activities ?? 0,
    passwordResets: stats.passwordResets ?? 0,
    unreadNotifications: Math.max(0, stats.unreadNotifications ?? 0),
    confirmedAt: time(stats.confirmedAt),
  },
  activities: (stats.recent ?? []).map(({ at, type, detail }) => {
    const entry = lists.activities.find((activity) => activity.at === at && activity.type === type);
    return { at: time(at), type, detail: entry?.description ?? detail };
  }),
  notifications: lists.notifications.map(({ at, notificationId, title }) => ({
    id: notificationId,
    title,
    at: time(at),
  })),
  lastChangedAt: time(stats.lastChangedAt),
});

export const handler = async (event) => {
  const claims = event.requestContext?.authorizer?.jwt?.claims;
  if (!claims || !isValid(claims)) return problem(401, 'The access token is not valid');
  if (event.rawPath !== '/api/dashboard') return problem(404, 'There is no such page');
  const { sub, exp } = claims;
  try {
    const [user, lists] = await Promise.all([readUser(sub), readLists(sub)]);
    if (isSuspended(user.profile, user.suspension)) return problem(403, 'The user is suspended');
    if (user.stats.erasedAt) return problem(404, 'There is no such page');
    const body = JSON.stringify(dashboard(sub, user, lists));
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    const lifetime = Math.min(Number(MAX_CACHE_LIFETIME_SECONDS), Math.floor(Number(exp) - Date.now() / 1000));
    const headers = {
      'content-type': 'application/json',
      'cache-control': `max-age=0, s-maxage=${lifetime}, stale-if-error=0`,
      'cache-tag': `user:${encodeURIComponent(sub)},users`,
      'x-content-type-options': 'nosniff',
      etag,
    };
    if (event.headers?.['if-none-match'] === etag) return { statusCode: 304, headers };
    return { statusCode: 200, headers, body };
  } catch (error) {
    console.error(JSON.stringify({ level: 'ERROR', message: 'could not read the dashboard', error: String(error) }));
    return problem(503, 'Please try again');
  }
};
