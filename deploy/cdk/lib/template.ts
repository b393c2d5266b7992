// Reads the template of a release, and turns it into one without a transform.
//
// The CDK deploys with change sets, and CloudFormation limits change sets that have both nested stacks
// and transforms (CAPABILITY_AUTO_EXPAND in its API reference). The template uses SAM only for
// functions, their queues and schedules, so the expansion is short. A test compares it with the result
// of AWS's own transform.

import { isAlias, isMap, isScalar, isSeq, parseDocument, type Node } from "yaml";

/** A value of a template, as JSON. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** A parameter of the template. */
export interface ParameterDefinition {
  readonly Type: "String" | "Number" | "CommaDelimitedList";
  readonly Default?: string | number;
  readonly AllowedPattern?: string;
  readonly AllowedValues?: (string | number)[];
  readonly ConstraintDescription?: string;
  readonly MinValue?: number;
  readonly MaxValue?: number;
  readonly NoEcho?: boolean;
}

interface Resource {
  Type: string;
  Properties?: JsonObject;
  Condition?: string;
  DependsOn?: Json;
}

export interface Template {
  Parameters: { [name: string]: ParameterDefinition };
  Rules?: { [name: string]: Rule };
  Resources: { [id: string]: Resource };
  Outputs: { [name: string]: { Value: Json; Condition?: string; Description?: string } };
  [section: string]: unknown;
}

export interface Rule {
  readonly RuleCondition?: Json;
  readonly Assertions: { Assert: Json; AssertDescription?: string }[];
}

/** The template, and the file of each function, relative to the folder of the template. */
export interface Expanded {
  readonly template: Template;
  readonly code: { [functionId: string]: string };
}

/** Parses YAML with the short forms of CloudFormation's functions, such as `!Ref`. */
export function parse(text: string): Template {
  const document = parseDocument(text, { logLevel: "silent" });
  const [error] = document.errors;
  if (error) {
    throw error;
  }
  return toJson(document.contents) as unknown as Template;
}

function toJson(node: Node | null): Json {
  if (node === null) {
    return null;
  }
  if (isAlias(node)) {
    throw new Error("the template has a YAML alias, which CloudFormation does not support");
  }
  let value: Json = null;
  if (isMap(node)) {
    const entries = node.items.map((pair) => [
      String(toJson(pair.key as Node)),
      toJson(pair.value as Node | null),
    ]);
    value = Object.fromEntries(entries);
  } else if (isSeq(node)) {
    value = node.items.map((item) => toJson(item as Node));
  } else if (isScalar(node)) {
    value = node.value as Json;
  }
  return node.tag?.startsWith("!") ? longForm(node.tag.slice(1), value) : value;
}

function longForm(name: string, value: Json): Json {
  if (name === "Ref" || name === "Condition") {
    return { [name]: value };
  }
  if (name === "GetAtt" && typeof value === "string") {
    const [resource = "", ...attribute] = value.split(".");
    return { "Fn::GetAtt": [resource, attribute.join(".")] };
  }
  return { [`Fn::${name}`]: value };
}

/** Replaces SAM's resources by those of CloudFormation, and removes the transform. */
export function expand(sam: Template): Expanded {
  const { Transform: transform, Globals: globals, ...template } = sam;
  if (transform !== "AWS::Serverless-2016-10-31") {
    throw new Error(`the template has the transform ${JSON.stringify(transform)}, expected that of SAM`);
  }
  const defaults = ((globals as JsonObject)["Function"] ?? {}) as JsonObject;
  const resources: Template["Resources"] = {};
  const code: Expanded["code"] = {};
  for (const [id, resource] of Object.entries(sam.Resources)) {
    if (resource.Type === "AWS::Serverless::Function") {
      const { CodeUri, Events, Tracing, ...rest } = merge(defaults, resource.Properties ?? {});
      const unknown = Object.keys(rest).filter((name) => !SAME_PROPERTIES.has(name));
      if (unknown.length > 0) {
        throw new Error(`${id} has properties that this package cannot expand: ${unknown.join(", ")}`);
      }
      code[id] = String(CodeUri);
      resources[id] = {
        ...resource,
        Type: "AWS::Lambda::Function",
        // The construct replaces it by the asset.
        Properties: {
          ...rest,
          Code: { S3Bucket: "", S3Key: "" },
          TracingConfig: { Mode: Tracing ?? "PassThrough" },
        },
      };
      for (const [name, event] of Object.entries((Events ?? {}) as JsonObject)) {
        Object.assign(resources, eventSource(id, name, resource, event as JsonObject));
      }
    } else if (resource.Type.startsWith("AWS::Serverless::")) {
      throw new Error(`${id} has a type that this package cannot expand: ${resource.Type}`);
    } else {
      resources[id] = resource;
    }
  }
  return { template: { ...template, Resources: resources } as Template, code };
}

/** Properties that have the same name and meaning in SAM and in CloudFormation. */
const SAME_PROPERTIES = new Set([
  "Architectures",
  "Description",
  "Environment",
  "FunctionName",
  "Handler",
  "LoggingConfig",
  "MemorySize",
  "ReservedConcurrentExecutions",
  "Role",
  "Runtime",
  "Timeout",
]);

/** The resources that connect a function with the source of its events. */
function eventSource(
  functionId: string,
  name: string,
  owner: Resource,
  event: JsonObject,
): Template["Resources"] {
  const id = `${functionId}${name}`;
  const condition = owner.Condition && { Condition: owner.Condition };
  const properties = event["Properties"] as JsonObject;
  switch (event["Type"]) {
    case "SQS": {
      const { Queue: queue, ...others } = properties;
      const mapping = { ...others, EventSourceArn: queue ?? null, FunctionName: { Ref: functionId } };
      return { [id]: { Type: "AWS::Lambda::EventSourceMapping", ...condition, Properties: mapping } };
    }
    case "Schedule": {
      const { Schedule: schedule, Description: description, ...others } = properties;
      if (Object.keys(others).length > 0) {
        throw new Error(
          `${functionId}.${name} has properties that this package cannot expand: ${Object.keys(others).join(", ")}`,
        );
      }
      const target = { Arn: { "Fn::GetAtt": [functionId, "Arn"] }, Id: `${id}LambdaTarget` };
      const rule = { ScheduleExpression: schedule ?? null, Targets: [target] };
      const permission = {
        Action: "lambda:InvokeFunction",
        FunctionName: { Ref: functionId },
        Principal: "events.amazonaws.com",
        SourceArn: { "Fn::GetAtt": [id, "Arn"] },
      };
      return {
        [id]: {
          Type: "AWS::Events::Rule",
          ...condition,
          Properties: description === undefined ? rule : { Description: description, ...rule },
        },
        [`${id}Permission`]: { Type: "AWS::Lambda::Permission", ...condition, Properties: permission },
      };
    }
    default:
      throw new Error(
        `${functionId}.${name} is an event of a type that this package cannot expand: ${JSON.stringify(event["Type"])}`,
      );
  }
}

/** Values of the function win over those of Globals. Maps are merged, as SAM does. */
function merge(defaults: JsonObject, own: JsonObject): JsonObject {
  const merged: JsonObject = { ...defaults };
  for (const [name, value] of Object.entries(own)) {
    const inherited = merged[name];
    merged[name] = isObject(inherited) && isObject(value) ? merge(inherited, value) : value;
  }
  return merged;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
