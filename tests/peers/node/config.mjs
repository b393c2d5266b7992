// Configuration of all SDK clients. Cognito waits five seconds for a trigger, including its cold start.

export const clientConfig = {
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 500, requestTimeout: 1000, throwOnRequestTimeout: true },
};
