// The construct: a nested stack with the template of a release.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Annotations, Fn, NestedStack, Stack, Token, Tokenization, type CfnStack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import * as cognito from "aws-cdk-lib/aws-cognito";
import * as dynamodb from "aws-cdk-lib/aws-dynamodb";
import * as lambda from "aws-cdk-lib/aws-lambda";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import * as sqs from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";

import { problems, type Values } from "./check.js";
import type { OutputName, Parameters } from "./parameters.js";
import { expand, parse } from "./template.js";

export interface CognitoUserEventsProps extends Parameters {
  /** Folder of a release: it has `template-arm64.yaml`, and the functions in `functions/arm64`. */
  readonly release: string;
  /**
   * Processor of the functions.
   *
   * @default lambda.Architecture.ARM_64
   */
  readonly architecture?: lambda.Architecture;
}

/** The triggers by their names in Cognito's LambdaConfig. */
const TRIGGERS = {
  PreSignUp: cognito.UserPoolOperation.PRE_SIGN_UP,
  PostConfirmation: cognito.UserPoolOperation.POST_CONFIRMATION,
  PreAuthentication: cognito.UserPoolOperation.PRE_AUTHENTICATION,
  PreTokenGeneration: cognito.UserPoolOperation.PRE_TOKEN_GENERATION_CONFIG,
  CustomMessage: cognito.UserPoolOperation.CUSTOM_MESSAGE,
};

export type TriggerName = keyof typeof TRIGGERS;

/** Longest stack name that leaves room for the names of the functions: a test of the template has the same number. */
const MAX_STACK_NAME = 43;
/** Characters that CloudFormation adds to the name of a nested stack, with the hyphen. */
const NESTED_SUFFIX = 14;

/**
 * Everything that one release of cognito-user-events creates, as a nested stack.
 *
 * Values are checked during synthesis, so `cdk synth` fails with the name of a wrong parameter.
 */
export class CognitoUserEvents extends Construct {
  public readonly nestedStack: NestedStack;
  /** The resources by their logical IDs in template.yaml, for changes that no parameter makes. */
  public readonly template: CfnInclude;
  /** The five functions that the user pool calls. */
  public readonly triggers: { readonly [name in TriggerName]: lambda.IFunction };

  private readonly settings: CognitoUserEventsProps;

  public constructor(scope: Construct, id: string, props: CognitoUserEventsProps) {
    super(scope, id);
    this.settings = props;
    const { name: architecture } = props.architecture ?? lambda.Architecture.ARM_64;
    const { template, code } = expand(
      parse(readFileSync(join(props.release, `template-${architecture}.yaml`), "utf8")),
    );

    const values = parameterValues(props);
    const found = problems(template, values);
    if (found.length > 0) {
      throw new Error(`${this.node.path}:\n${found.join("\n")}`);
    }

    this.nestedStack = new NestedStack(this, "Stack", {
      parameters: { ...values, Architecture: architecture },
    });
    this.shortenName();
    this.template = include(this.nestedStack, template);
    for (const [functionId, file] of Object.entries(code)) {
      const asset = new Asset(this.nestedStack, `${functionId}Code`, {
        path: join(props.release, file),
      });
      const resource = this.template.getResource(functionId) as lambda.CfnFunction;
      resource.code = { s3Bucket: asset.s3BucketName, s3Key: asset.s3ObjectKey };
    }
    this.triggers = this.importTriggers();
  }

  /** The pool whose users the stack serves: a new one, or the existing one. */
  public get userPool(): cognito.IUserPool {
    return this.once("UserPool", (id) =>
      cognito.UserPool.fromUserPoolId(this, id, this.output("UserPoolId")),
    );
  }

  public get table(): dynamodb.ITable {
    return this.once("Table", (id) => dynamodb.Table.fromTableArn(this, id, this.output("TableArn")));
  }

  /** Your services send events to this queue. `eventProducers` must name their roles too. */
  public get userEventsQueue(): sqs.IQueue {
    return this.once("UserEventsQueue", (id) =>
      sqs.Queue.fromQueueArn(this, id, this.output("UserEventsQueueArn")),
    );
  }

  /** Your services send permissions to this queue. `permissionProducers` must name their roles too. */
  public get resourcePermissionsQueue(): sqs.IQueue {
    const arn = () => this.output("ResourcePermissionsQueueArn");
    return this.once("ResourcePermissionsQueue", (id) => sqs.Queue.fromQueueArn(this, id, arn()));
  }

  /** Name of the nested stack, known at deployment: `replay --stack` needs it. */
  public get stackName(): string {
    return Fn.select(1, Fn.split("/", this.nested.ref));
  }

  /**
   * An output of the template, known at deployment.
   *
   * Some outputs exist only under a condition, which their comments name. Without it, the deployment
   * fails.
   */
  public output(name: OutputName): string {
    return this.nested.getAtt(`Outputs.${name}`).toString();
  }

  /**
   * Makes a user pool of this app call the functions. Its stack is deployed after the functions exist.
   *
   * Fails if the pool has another function for one of the five triggers.
   */
  public attachTo(pool: cognito.UserPool): void {
    const { existingUserPoolId, preTokenGenerationVersion: version = "V2_0" } = this.settings;
    if (!existingUserPoolId) {
      throw new Error(
        `${this.node.path} has a user pool of its own. To attach another one, set existingUserPoolId to its ID`,
      );
    }
    if (Token.isUnresolved(existingUserPoolId)) {
      throw new Error(
        `${this.node.path}: existingUserPoolId refers to a resource, but the pool also needs the functions. ` +
          "Deploy the pool first, without attachTo, and set existingUserPoolId to its ID as text",
      );
    }
    const { userPoolTier } = pool.node.defaultChild as cognito.CfnUserPool;
    if (userPoolTier === cognito.FeaturePlan.LITE && version !== "V1_0") {
      throw new Error(`${pool.node.path} has the plan LITE: set preTokenGenerationVersion to V1_0`);
    }
    for (const [name, operation] of Object.entries(TRIGGERS)) {
      const trigger = this.triggers[name as TriggerName];
      if (name === "PreTokenGeneration") {
        pool.addTrigger(operation, trigger, version as cognito.LambdaVersion);
      } else {
        pool.addTrigger(operation, trigger);
      }
    }
  }

  private get nested(): CfnStack {
    return this.nestedStack.nestedStackResource as CfnStack;
  }

  /** The names of the functions begin with the name of the nested stack, so it must be short. */
  private shortenName(): void {
    const parent = Stack.of(this).stackName;
    const id = this.node.id.replace(/[^A-Za-z0-9]/g, "");
    this.nested.overrideLogicalId(id);
    if (Token.isUnresolved(parent)) {
      Annotations.of(this).addWarningV2(
        "cognito-user-events:stackName",
        `the name of the stack is not known yet. With -${id} and ${NESTED_SUFFIX} more characters, it must have at most ${MAX_STACK_NAME}`,
      );
    } else if (parent.length + 1 + id.length + NESTED_SUFFIX > MAX_STACK_NAME) {
      throw new Error(
        `${this.node.path}: the names of the functions would be too long for Lambda. The name of the stack (${parent}) ` +
          `and the ID of this construct (${id}) have together at most ${MAX_STACK_NAME - NESTED_SUFFIX - 1} characters`,
      );
    }
  }

  /** The template has the permissions for Cognito, so these functions need none. */
  private importTriggers(): { readonly [name in TriggerName]: lambda.IFunction } {
    const triggers = Object.keys(TRIGGERS).map((name) => {
      const functionArn = this.template.getResource(`${name}Function`).getAtt("Arn").toString();
      const attributes = { functionArn, sameEnvironment: false, skipPermissions: true };
      return [name, lambda.Function.fromFunctionAttributes(this, `${name}Trigger`, attributes)];
    });
    return Object.fromEntries(triggers);
  }

  private once<T extends Construct | cognito.IUserPool>(id: string, create: (id: string) => T): T {
    return (this.node.tryFindChild(id) as T | undefined) ?? create(id);
  }
}

/** The values of the properties that are parameters of the template. */
function parameterValues(props: CognitoUserEventsProps): Values {
  const { release: _release, architecture: _architecture, ...parameters } = props;
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    given.map(([name, value]) => [`${name.charAt(0).toUpperCase()}${name.slice(1)}`, text(value)]),
  );
}

function text(value: string | number | boolean | readonly string[]): string {
  if (typeof value === "number") {
    return Tokenization.stringifyNumber(value);
  }
  if (Array.isArray(value)) {
    return Token.isUnresolved(value) ? Fn.join(",", value) : value.join(",");
  }
  return String(value);
}

function include(scope: Construct, template: object): CfnInclude {
  // CfnInclude only reads files.
  const folder = mkdtempSync(join(tmpdir(), "cognito-user-events-"));
  try {
    const templateFile = join(folder, "template.json");
    writeFileSync(templateFile, JSON.stringify(template));
    return new CfnInclude(scope, "Template", { templateFile });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
