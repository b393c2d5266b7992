// The construct, synthesized with the template of this repository. tests/e2e/cdk.py deploys it.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const require = createRequire(import.meta.url);
const { App, CfnParameter, Stack, assertions, aws_cognito, aws_lambda, aws_sns } = require("aws-cdk-lib");
const { CognitoUserEvents } = require("../build/index.js");
const { expand, parse } = require("../build/template.js");
const { problems } = require("../build/check.js");

const { Template } = assertions;
const text = readFileSync(new URL("../../../template.yaml", import.meta.url), "utf8");
const template = parse(text);
const release = packagedRelease();
after(() => rmSync(release, { recursive: true }));

const POOL_ID = "eu-central-1_EXAMPLE12";
const minimal = { release, productName: "Example Shop" };
const existing = { ...minimal, existingUserPoolId: POOL_ID, apiOriginDomainName: "api.example.com" };

/** A folder like that of a release, with the template of this repository and files instead of functions. */
function packagedRelease() {
  const folder = mkdtempSync(join(tmpdir(), "release-"));
  mkdirSync(join(folder, "functions"));
  const packaged = text.replaceAll(
    /^ {4}Metadata: \{.* Binary: ([\w-]+) .*\n((?: {4}(?!Properties).*\n)*) {4}Properties:\n/gm,
    (_, name, rest) => {
      writeFileSync(join(folder, "functions", `${name}.zip`), `the code of ${name}`);
      return `${rest}    Properties:\n      CodeUri: functions/${name}.zip\n`;
    },
  );
  writeFileSync(join(folder, "template-arm64.yaml"), packaged);
  return folder;
}

function shop(props, name = "Shop") {
  const stack = new Stack(new App(), name);
  return { stack, events: new CognitoUserEvents(stack, "Events", props) };
}

function failure(props, name) {
  try {
    shop(props, name);
  } catch (error) {
    return error.message;
  }
  throw new Error("the construct accepts the values");
}

test("the package has the version of the workspace", () => {
  const [, version] = readFileSync(new URL("../../../Cargo.toml", import.meta.url), "utf8").match(
    /^version = "(.+)"$/m,
  );
  assert.equal(require("../package.json").version, version);
});

test("the code in the README is part of the example, which is deployed", () => {
  const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8").replaceAll(/^ +/gm, "");
  const blocks = [...read("README.md").matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code);
  assert.equal(blocks.length, 2);
  for (const block of blocks) {
    assert.ok(read("example/app.ts").includes(block), block);
  }
});

test("parameters get the values of the properties", () => {
  const { stack } = shop({
    ...minimal,
    selfSignUp: false,
    tokenValidityMinutes: 30,
    authFlows: ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    allowedEmailDomains: undefined,
  });
  Template.fromStack(stack).hasResource("AWS::CloudFormation::Stack", {
    Properties: {
      Parameters: {
        ProductName: "Example Shop",
        SelfSignUp: "false",
        TokenValidityMinutes: "30",
        AuthFlows: "ALLOW_USER_SRP_AUTH,ALLOW_REFRESH_TOKEN_AUTH",
        AllowedEmailDomains: assertions.Match.absent(),
        Architecture: "arm64",
      },
    },
  });
});

test("every function gets its own code from the release", () => {
  const { events } = shop(minimal);
  const functions = Template.fromStack(events.nestedStack).findResources("AWS::Lambda::Function");
  const keys = Object.values(functions).map((resource) => resource.Properties.Code.S3Key);
  assert.equal(
    keys.length,
    Object.values(template.Resources).filter((resource) => resource.Type === "AWS::Serverless::Function")
      .length,
  );
  assert.equal(new Set(keys).size, keys.length);
});

test("the pattern, list and range of each parameter accept its default", () => {
  const values = Object.entries(template.Parameters).map(([name, { Default, NoEcho }]) =>
    NoEcho ? [] : [name, String(Default ?? "Example Shop")],
  );
  assert.deepEqual(
    problems({ ...template, Rules: {} }, Object.fromEntries(values.filter((entry) => entry.length > 0))),
    [],
  );
});

for (const [what, props, message] of [
  [
    "a value that a list does not have",
    { mfaConfiguration: "SOMETIMES" },
    'MfaConfiguration is "SOMETIMES", expected one of "OFF", "OPTIONAL", "ON"',
  ],
  [
    "a value that a pattern does not allow",
    { allowedEmailDomains: "a@b@c" },
    "AllowedEmailDomains has an invalid value. Domains or addresses separated by commas.",
  ],
  [
    "an item of a list that a pattern does not allow",
    { authFlows: ["ALLOW_USER_SRP_AUTH", "ALLOW_ALL"] },
    "AuthFlows has an invalid value.",
  ],
  [
    "a header that a pattern without case does not allow",
    { forwardedHeaders: ["AUTHORIZATION"] },
    "ForwardedHeaders has an invalid value.",
  ],
  [
    "a number that is too large",
    { tokenValidityMinutes: 1441 },
    "TokenValidityMinutes is 1441, expected a number from 5 to 1440",
  ],
  [
    "a text that is not a number",
    { tokenValidityMinutes: "long" },
    "TokenValidityMinutes is long, expected a number from 5 to 1440",
  ],
  ["a property that is no parameter", { groupRule: "[]" }, "GroupRule: this release has no such parameter"],
  ["a missing value", { productName: undefined }, "ProductName is missing: it has no default"],
  [
    "a secret as text",
    { originSecret: "0123456789abcdef0123456789abcdef" },
    "OriginSecret is a secret, and would be readable in the template: pass the value of a CfnParameter with noEcho",
  ],
  [
    "a broken rule",
    { apiOriginDomainName: "api.example.com", existingDistributionId: "E2EXAMPLE1ABCD" },
    "Give ApiOriginDomainName or ExistingDistributionId, not both.",
  ],
  [
    "a broken rule about a list",
    { userPoolTier: "LITE", preTokenGenerationVersion: "V1_0", authFlows: ["ALLOW_USER_AUTH"] },
    "ALLOW_USER_AUTH",
  ],
]) {
  test(`${what} is refused during synthesis`, () => {
    const actual = failure({ ...minimal, ...props });
    assert.ok(actual.startsWith("Shop/Events:\n") && actual.includes(message), actual);
  });
}

test("header names are compared without case", () => {
  shop({ ...minimal, forwardedHeaders: ["Content-Type", "x-tenant"] });
});

test("tokens are left to CloudFormation, also in rules", () => {
  const stack = new Stack(new App(), "Shop");
  const topic = new aws_sns.Topic(stack, "Alarms");
  const secret = new CfnParameter(stack, "OriginSecret", { noEcho: true });
  const domain = new CfnParameter(stack, "Domain");
  new CognitoUserEvents(stack, "Events", {
    ...minimal,
    alarmTopicArn: topic.topicArn,
    originSecret: secret.valueAsString,
    apiOriginDomainName: domain.valueAsString,
    existingDistributionId: "E2EXAMPLE1ABCD",
  });
  const [nested] = Object.values(Template.fromStack(stack).findResources("AWS::CloudFormation::Stack"));
  assert.deepEqual(nested.Properties.Parameters.AlarmTopicArn, stack.resolve(topic.topicArn));
  assert.deepEqual(nested.Properties.Parameters.OriginSecret, { Ref: "OriginSecret" });
});

test("names that are too long for the functions are refused during synthesis", () => {
  shop(minimal, "S".repeat(22));
  assert.match(failure(minimal, "S".repeat(23)), /have together at most 28 characters/);
});

test("the longest name of a function fits Lambda with the longest name of a stack", () => {
  const names = Object.values(template.Resources).map(
    (resource) => resource.Properties?.FunctionName?.["Fn::Sub"],
  );
  const longest = Math.max(
    ...names.filter(Boolean).map((name) => name.replace("${AWS::StackName}", "").length),
  );
  assert.equal(longest + 43, 64);
});

function attached(props, poolProps = {}) {
  const { stack, events } = shop(props);
  const pool = new aws_cognito.UserPool(stack, "Users", poolProps);
  events.attachTo(pool);
  const [{ Properties: properties }] = Object.values(
    Template.fromStack(stack).findResources("AWS::Cognito::UserPool"),
  );
  return { stack, events, config: properties.LambdaConfig };
}

test("attachTo makes the pool call the functions of the nested stack", () => {
  const { stack, events, config } = attached(existing);
  const { Outputs: outputs } = Template.fromStack(events.nestedStack).toJSON();
  const {
    PreTokenGenerationConfig: { LambdaArn, LambdaVersion },
    ...others
  } = config;
  assert.equal(LambdaVersion, "V2_0");
  const arns = { ...others, PreTokenGeneration: LambdaArn };
  assert.deepEqual(Object.keys(arns).sort(), [
    "CustomMessage",
    "PostConfirmation",
    "PreAuthentication",
    "PreSignUp",
    "PreTokenGeneration",
  ]);
  for (const [name, arn] of Object.entries(arns)) {
    const [nested, output] = arn["Fn::GetAtt"];
    assert.equal(nested, "Events");
    assert.deepEqual(outputs[output.replace("Outputs.", "")].Value, {
      "Fn::GetAtt": [`${name}Function`, "Arn"],
    });
  }
  // Those of the nested stack are enough.
  Template.fromStack(stack).resourceCountIs("AWS::Lambda::Permission", 0);
});

test("attachTo uses the event version that the functions expect", () => {
  const { config } = attached({ ...existing, preTokenGenerationVersion: "V1_0" });
  assert.equal(config.PreTokenGenerationConfig.LambdaVersion, "V1_0");
});

test("attachTo refuses a pool that has another function for a trigger", () => {
  const stack = new Stack(new App(), "Shop");
  const own = aws_lambda.Function.fromFunctionArn(
    stack,
    "Own",
    "arn:aws:lambda:eu-central-1:123456789012:function:own",
  );
  const pool = new aws_cognito.UserPool(stack, "Users", { lambdaTriggers: { preSignUp: own } });
  const events = new CognitoUserEvents(stack, "Events", existing);
  assert.throws(() => events.attachTo(pool), /preSignUp already exists/);
});

test("attachTo refuses a stack with a pool of its own", () => {
  assert.throws(() => attached(minimal), /set existingUserPoolId to its ID/);
});

test("attachTo refuses the plan LITE with an event version that it does not support", () => {
  assert.throws(
    () => attached(existing, { featurePlan: aws_cognito.FeaturePlan.LITE }),
    /set preTokenGenerationVersion to V1_0/,
  );
});

test("attachTo refuses an ID that depends on the pool", () => {
  const stack = new Stack(new App(), "Shop");
  const pool = new aws_cognito.UserPool(stack, "Users");
  const events = new CognitoUserEvents(stack, "Events", { ...existing, existingUserPoolId: pool.userPoolId });
  assert.throws(() => events.attachTo(pool), /Deploy the pool first, without attachTo/);
});

for (const [what, change, message] of [
  [
    "property of a function",
    (sam) => (sam.Resources.PreSignUpFunction.Properties.Layers = []),
    "PreSignUpFunction has properties that this package cannot expand: Layers",
  ],
  [
    "type of event",
    (sam) => (sam.Resources.UserStatsFunction.Properties.Events.Requests = { Type: "Api", Properties: {} }),
    'UserStatsFunction.Requests is an event of a type that this package cannot expand: "Api"',
  ],
  [
    "type of resource",
    (sam) => (sam.Resources.Api = { Type: "AWS::Serverless::Api" }),
    "Api has a type that this package cannot expand: AWS::Serverless::Api",
  ],
  [
    "transform",
    (sam) => (sam.Transform = "AWS::LanguageExtensions"),
    'the template has the transform "AWS::LanguageExtensions", expected that of SAM',
  ],
]) {
  test(`a template with an unknown ${what} is refused`, () => {
    const sam = structuredClone(template);
    change(sam);
    assert.throws(() => expand(sam), { message });
  });
}
