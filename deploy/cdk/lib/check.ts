// Checks values of parameters before the deployment, as CloudFormation does during it.
//
// A value that is only known at deployment (a token) is left to CloudFormation.

import { Token } from "aws-cdk-lib";
import type { Json, ParameterDefinition, Rule, Template } from "./template.js";

/** Values of parameters as CloudFormation gets them. A list is separated by commas. */
export type Values = { [parameter: string]: string };

/** Problems of the values, each as a sentence with the name of the parameter. */
export function problems(template: Template, values: Values): string[] {
  const found: string[] = [];
  for (const [name, value] of Object.entries(values)) {
    const definition = template.Parameters[name];
    if (definition === undefined) {
      found.push(`${name}: this release has no such parameter`);
    } else if (definition.NoEcho && !Token.isUnresolved(value)) {
      found.push(
        `${name} is a secret, and would be readable in the template: pass the value of a CfnParameter with noEcho`,
      );
    } else if (!Token.isUnresolved(value)) {
      found.push(...invalid(name, definition, value));
    }
  }
  for (const [name, definition] of Object.entries(template.Parameters)) {
    if (definition.Default === undefined && values[name] === undefined) {
      found.push(`${name} is missing: it has no default`);
    }
  }
  if (found.length === 0) {
    found.push(
      ...Object.values(template.Rules ?? {}).flatMap((rule) => brokenAssertions(rule, template, values)),
    );
  }
  return found;
}

function invalid(name: string, definition: ParameterDefinition, value: string): string[] {
  const items = definition.Type === "CommaDelimitedList" ? value.split(",") : [value];
  for (const item of items) {
    const allowed = definition.AllowedValues?.map(String);
    if (allowed && !allowed.includes(item)) {
      return [
        `${name} is ${JSON.stringify(item)}, expected one of ${allowed.map((text) => JSON.stringify(text)).join(", ")}`,
      ];
    }
    if (definition.AllowedPattern !== undefined && !pattern(definition.AllowedPattern).test(item)) {
      return [
        `${name} has an invalid value. ${definition.ConstraintDescription ?? `Expected: ${definition.AllowedPattern}`}`,
      ];
    }
    if (definition.Type === "Number") {
      const [number, least, most] = [
        Number(item),
        definition.MinValue ?? -Infinity,
        definition.MaxValue ?? Infinity,
      ];
      if (!(number >= least && number <= most)) {
        return [`${name} is ${item}, expected a number from ${least} to ${most}`];
      }
    }
  }
  return [];
}

/** CloudFormation uses Java's syntax, and compares the whole value. */
function pattern(java: string): RegExp {
  const ignoresCase = java.startsWith("(?i)");
  return new RegExp(`^(?:${ignoresCase ? java.slice(4) : java})$`, ignoresCase ? "iu" : "u");
}

function brokenAssertions(rule: Rule, template: Template, values: Values): string[] {
  const resolve = (name: string): string | undefined => {
    const value = values[name] ?? template.Parameters[name]?.Default;
    return value === undefined || Token.isUnresolved(value) ? undefined : String(value);
  };
  // A condition that is not known yet may be false.
  if (rule.RuleCondition !== undefined && evaluate(rule.RuleCondition, resolve) !== true) {
    return [];
  }
  const broken = rule.Assertions.filter((assertion) => evaluate(assertion.Assert, resolve) === false);
  return broken.map((assertion) => assertion.AssertDescription ?? JSON.stringify(assertion.Assert));
}

/** `undefined`: it depends on a value that is not known yet. */
type Known = string | boolean | undefined;

function evaluate(expression: Json, resolve: (name: string) => string | undefined): Known {
  if (typeof expression === "string") {
    return expression;
  }
  const [[name, operand] = []] = Object.entries(expression as { [name: string]: Json });
  const operands = (Array.isArray(operand) ? operand : []) as Json[];
  const known = (value: Json | undefined) => evaluate(value ?? "", resolve);
  switch (name) {
    case "Ref":
      return resolve(String(operand));
    case "Fn::Equals":
      return compare(known(operands[0]), known(operands[1]), (left, right) => left === right);
    case "Fn::Contains": {
      const [list, item] = operands;
      const items = Array.isArray(list) ? list.map(String).join(",") : known(list);
      return compare(items, known(item), (texts, text) => String(texts).split(",").includes(String(text)));
    }
    case "Fn::Not": {
      const value = known(operands[0]);
      return value === undefined ? undefined : value !== true;
    }
    case "Fn::And":
      return all(operands.map(known));
    case "Fn::Or": {
      const none = all(
        operands.map(known).map((value) => (value === undefined ? undefined : value !== true)),
      );
      return none === undefined ? undefined : !none;
    }
    default:
      throw new Error(`a rule of the template uses ${name}, which this package does not know`);
  }
}

function compare(left: Known, right: Known, test: (left: Known, right: Known) => boolean): Known {
  return left === undefined || right === undefined ? undefined : test(left, right);
}

function all(values: Known[]): boolean | undefined {
  if (values.includes(false)) {
    return false;
  }
  return values.includes(undefined) ? undefined : true;
}
