// What the SDK's clients have in common: Cognito waits five seconds for a trigger, cold start included.

export const clientConfig = {
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 500, requestTimeout: 1000, throwOnRequestTimeout: true },
};
