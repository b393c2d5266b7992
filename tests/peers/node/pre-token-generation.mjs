// Denies the sign-in of a suspended user, and sets the groups and claims of the token.

import { createEvent, send, sendAll, userConfirmed, userId } from './events.mjs';
import { SignInDenied, checkSuspension } from './profiles.mjs';

const { GROUP_MEMBERSHIPS_QUEUE_URL } = process.env;
const rules = JSON.parse(process.env.GROUP_RULES || '[]');
const claims = JSON.parse(process.env.TOKEN_CLAIMS || '{}');
const managed = new Set(rules.map(({ group }) => group));

const FLOWS = {
  TokenGeneration_HostedAuth: 'hosted',
  TokenGeneration_Authentication: 'password',
  TokenGeneration_NewPasswordChallenge: 'new_password',
  TokenGeneration_AuthenticateDevice: 'device',
  TokenGeneration_RefreshTokens: 'refresh',
};

/** The values of an attribute: a JSON list, Cognito's form-encoded `[a, b]`, or one value. */
const listValues = (attribute) => {
  const inner = /^\s*\[(.*)\]\s*$/s.exec(attribute)?.[1];
  if (inner === undefined) return [attribute];
  try {
    if (inner.includes('"')) return JSON.parse(attribute);
    if (/[[\]]/.test(inner)) return [attribute];
    return inner.split(',').map((value) => decodeURIComponent(value.trim().replaceAll('+', ' ')));
  } catch {
    return [attribute];
  }
};

const givesGroup = (rule, attributes, providers) => {
  const attribute = attributes[rule.attribute];
  if (attribute === undefined || (rule.provider && !providers.includes(rule.provider))) return false;
  const values = listValues(attribute);
  if (rule.contains) return values.includes(rule.contains);
  return values.length === 1 && (rule.one_of ?? [rule.equals]).includes(values[0]);
};

/** A group that is named in a rule is in the token if a rule gives it, and only then. Other groups stay as Cognito sent
 * them. */
const mapGroups = (sent, attributes) => {
  const providers = JSON.parse(attributes.identities ?? '[]').map(({ providerName }) => providerName);
  const given = rules.filter((rule) => givesGroup(rule, attributes, providers)).map(({ group }) => group);
  const kept = sent.filter((group) => !managed.has(group) || given.includes(group));
  return [...new Set([...kept, ...given])];
};

const setResponse = (event, groups, groupsChanged) => {
  const isFirstVersion = event.version === '1';
  const hasClaims = !isFirstVersion && Object.keys(claims).length > 0;
  if (!groupsChanged && !hasClaims) return;

  // An override replaces all groups, so it must contain the unchanged groups too.
  const { iamRolesToOverride, preferredRole } = event.request.groupConfiguration ?? {};
  const groupOverrideDetails = {
    groupsToOverride: groups,
    iamRolesToOverride: iamRolesToOverride ?? [],
    preferredRole: preferredRole ?? null,
  };
  if (isFirstVersion) {
    event.response.claimsOverrideDetails = { groupOverrideDetails, claimsToAddOrOverride: {}, claimsToSuppress: [] };
    return;
  }
  const details = { groupOverrideDetails };
  if (claims.id) details.idTokenGeneration = { claimsToAddOrOverride: claims.id, claimsToSuppress: [] };
  if (claims.access || claims.scopes_to_add || claims.scopes_to_suppress) {
    details.accessTokenGeneration = {
      claimsToAddOrOverride: claims.access ?? {},
      claimsToSuppress: [],
      scopesToAdd: claims.scopes_to_add ?? [],
      scopesToSuppress: claims.scopes_to_suppress ?? [],
    };
  }
  event.response.claimsAndScopeOverrideDetails = details;
};

export const handler = async (event) => {
  // Client credentials have no user.
  if (event.triggerSource === 'TokenGeneration_ClientCredentials') return event;

  const flow = FLOWS[event.triggerSource] ?? 'other';
  const id = userId(event);
  const { denied, reason, hasProfile } = await checkSuspension(id);
  if (denied) {
    await send(createEvent(event, 'user.sign_in_attempted', id, { flow, outcome: 'denied', reason }));
    throw new SignInDenied();
  }

  const sent = event.request.groupConfiguration?.groupsToOverride ?? [];
  let groups = mapGroups(sent, event.request.userAttributes);
  // The table could not be read: the user keeps groups but gets no new ones.
  if (hasProfile === undefined) groups = groups.filter((group) => sent.includes(group));
  const add = groups.filter((group) => !sent.includes(group));
  const remove = sent.filter((group) => !groups.includes(group));
  const groupsChanged = add.length > 0 || remove.length > 0;

  const { clientId } = event.callerContext;
  const messages = [
    flow === 'refresh'
      ? createEvent(event, 'user.token_refreshed', id, { client_id: clientId })
      : createEvent(event, 'user.signed_in', id, { flow, client_id: clientId, groups }),
  ];
  if (hasProfile === false) messages.push(userConfirmed(event));
  const calls = [sendAll(messages)];
  if (groupsChanged && GROUP_MEMBERSHIPS_QUEUE_URL) {
    const data = { user_pool_id: event.userPoolId, username: event.userName, add, remove };
    calls.push(send(createEvent(event, 'user.groups_mapped', id, data), GROUP_MEMBERSHIPS_QUEUE_URL));
  }
  await Promise.all(calls);

  setResponse(event, groups, groupsChanged);
  return event;
};
