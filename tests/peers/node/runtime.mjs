// Runs a handler like AWS's Node.js runtime: gets events from the Lambda Runtime API, one at a time.
//
//   node runtime.mjs pre-sign-up.handler

import http from 'node:http';
import { performance } from 'node:perf_hooks';

const { AWS_LAMBDA_RUNTIME_API: RUNTIME_API } = process.env;
const PREFIX = '/2018-06-01/runtime';
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const [host, port = '80'] = RUNTIME_API.split(':');

const call = (method, path, body, headers = {}) =>
  new Promise((resolve, reject) => {
    const options = { host, port, method, path: PREFIX + path, agent, headers };
    if (body !== undefined) {
      options.headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers };
    }
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });

const fail = (path, error) => {
  const { name = 'Error', message = String(error), stack = '' } = error ?? {};
  const body = JSON.stringify({ errorType: name, errorMessage: message, trace: stack.split('\n') });
  return call('POST', path, body, { 'Lambda-Runtime-Function-Error-Type': name });
};

const createContext = (headers) => {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  // The deadline is a time of the wall clock. The remaining time is measured by the monotonic clock.
  const clock = Date.now() - performance.now();
  return {
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => deadline - (clock + performance.now()),
  };
};

const load = async (name) => {
  const [file, method] = name.split(/\.(?=[^.]+$)/);
  const module = await import(new URL(`${file}.mjs`, import.meta.url));
  if (typeof module[method] !== 'function') throw new Error(`${name} is not a function`);
  return module[method];
};

let handler;
try {
  handler = await load(process.argv[2]);
} catch (error) {
  await fail('/init/error', error);
  console.error(error);
  process.exit(1);
}

for (;;) {
  const { headers, body } = await call('GET', '/invocation/next');
  const id = headers['lambda-runtime-aws-request-id'];
  process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'] ?? '';
  try {
    const result = await handler(JSON.parse(body), createContext(headers));
    await call('POST', `/invocation/${id}/response`, JSON.stringify(result ?? null));
  } catch (error) {
    await fail(`/invocation/${id}/error`, error);
  }
}
