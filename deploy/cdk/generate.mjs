// Writes from template.yaml: the types of the construct's properties and outputs (lib/parameters.ts), and
// the variables and outputs of the Terraform module (deploy/terraform).
//
//     npm run generate              # after a change of the template
//     node generate.mjs --check     # fails if a file is not what the template says

import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "./build/template.js";

const template = parse(readFileSync(new URL("../../template.yaml", import.meta.url), "utf8"));

/** The construct and the module have their own property, which also selects the template. */
const OMITTED = ["Architecture"];

const camel = (name) => name[0].toLowerCase() + name.slice(1);

function type({ Type, AllowedValues: values }) {
  if (values?.length === 2 && values.includes("true") && values.includes("false")) {
    return "boolean";
  }
  if (Type === "Number") {
    return values ? values.join(" | ") : "number";
  }
  if (Type === "CommaDelimitedList") {
    return "readonly string[]";
  }
  return values ? values.map((value) => JSON.stringify(value)).join(" | ") : "string";
}

function wrap(text, indent, width) {
  const lines = [""];
  for (const word of text.trim().replaceAll("*/", "*\\/").split(/\s+/)) {
    const last = lines.at(-1);
    if (last && `${indent} * ${last} ${word}`.length > width) {
      lines.push(word);
    } else {
      lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
  }
  return lines.map((line) => `${indent} * ${line}`).join("\n");
}

function comment(text, notes) {
  const blocks = [wrap(text, "  ", 100), ...notes.map((note) => `   *\n${wrap(note, "  ", 100)}`)];
  return `  /**\n${blocks.join("\n")}\n   */\n`;
}

function parameter([name, definition]) {
  const notes = [];
  if (definition.NoEcho) {
    notes.push("A secret: pass the value of a CfnParameter with noEcho.");
  }
  if (definition.Default !== undefined && definition.Default !== "") {
    notes.push(`@default ${definition.Default}`);
  }
  const optional = definition.Default === undefined ? "" : "?";
  return `${comment(definition.Description, notes)}  readonly ${camel(name)}${optional}: ${type(definition)};`;
}

function output([name, definition]) {
  const notes = definition.Condition
    ? [`Only if the template's condition ${definition.Condition} is true.`]
    : [];
  return `${comment(definition.Description, notes)}  readonly ${name}: string;`;
}

const parameters = Object.entries(template.Parameters).filter(([name]) => !OMITTED.includes(name));
const types = `// Generated from template.yaml by \`npm run generate\`.

/** The parameters of the template. */
export interface Parameters {
${parameters.map(parameter).join("\n")}
}

/** The outputs of the template. */
export interface Outputs {
${Object.entries(template.Outputs).map(output).join("\n")}
}

export type OutputName = keyof Outputs;
`;

const snake = (name) => name.replaceAll(/(?<=[a-z])[A-Z]|(?<=[A-Z])[A-Z](?=[a-z])/g, "_$&").toLowerCase();

/** A text of Terraform: `${` and `%{` would begin an expression. */
const quoted = (value) => JSON.stringify(value).replaceAll(/[$%]\{/g, (start) => start[0] + start);

function terraformType(definition) {
  const typescript = type(definition);
  if (typescript === "boolean") {
    return "bool";
  }
  if (definition.Type === "Number") {
    return "number";
  }
  return definition.Type === "CommaDelimitedList" ? "list(string)" : "string";
}

function variable([name, definition]) {
  const { AllowedValues: values, MinValue: least, MaxValue: most } = definition;
  const reference = `var.${snake(name)}`;
  const lines = [
    `variable "${snake(name)}" {`,
    `  description = ${quoted(definition.Description.trim())}`,
    `  type        = ${terraformType(definition)}`,
  ];
  if (definition.Default !== undefined) {
    lines.push("  default     = null");
  }
  if (definition.NoEcho) {
    lines.push("  sensitive   = true");
  }
  let [condition, message] = ["", ""];
  if (values && terraformType(definition) !== "bool") {
    condition = `contains([${values.map(definition.Type === "Number" ? String : quoted).join(", ")}], ${reference})`;
    message = `one of ${values.map((value) => value || "an empty text").join(", ")}`;
  } else if (least !== undefined) {
    condition = `${reference} >= ${least} && ${reference} <= ${most}`;
    message = `from ${least} to ${most}`;
  }
  if (condition) {
    lines.push("", "  validation {");
    lines.push(`    condition     = ${reference} == null ? true : ${condition}`);
    lines.push(`    error_message = "Must be ${message}."`, "  }");
  }
  return `${lines.join("\n")}\n}\n`;
}

/** The value that CloudFormation gets: a text, or null. */
function value(name, definition) {
  const reference = `var.${snake(name)}`;
  switch (terraformType(definition)) {
    case "list(string)":
      return `${reference} == null ? null : join(",", ${reference})`;
    case "string":
      return reference;
    default:
      return `tostring(${reference})`;
  }
}

function aligned(entries) {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, text]) => `${name.padEnd(width)} = ${text}`);
}

const plain = parameters.filter(([, { NoEcho }]) => !NoEcho);
const secret = parameters.filter(([, { NoEcho }]) => NoEcho);

const variables = `# Generated from template.yaml by \`cargo xtask cdk\`.

${parameters.map(variable).join("\n")}
locals {
  # Only the values that are set: the template has the defaults of the others.
  parameters = merge(
    { for name, value in {
${aligned(plain.map(([name, definition]) => [name, value(name, definition)]))
  .map((line) => `      ${line}`)
  .join("\n")}
    } : name => value if value != null },
    # Apart from the others, so that a plan hides only the secrets.
${secret
  .map(([name]) => `    nonsensitive(var.${snake(name)} == null) ? {} : { ${name} = var.${snake(name)} },`)
  .join("\n")}
  )
}
`;

const outputs = `# Generated from template.yaml by \`cargo xtask cdk\`.

${Object.entries(template.Outputs)
  .map(([name, { Description: description, Condition: condition }]) => {
    const note = condition ? `. Null unless the template's condition ${condition} is true` : "";
    const read = `aws_cloudformation_stack.this.outputs["${name}"]`;
    return `output "${snake(name)}" {
  description = ${quoted(description + note)}
  value       = ${name === "LambdaConfig" ? `jsondecode(${read})` : condition ? `lookup(aws_cloudformation_stack.this.outputs, "${name}", null)` : read}
}
`;
  })
  .join("\n")}`;

let isStale = false;
for (const [name, text] of [
  ["deploy/cdk/lib/parameters.ts", types],
  ["deploy/terraform/variables.tf", variables],
  ["deploy/terraform/outputs.tf", outputs],
]) {
  const file = new URL(`../../${name}`, import.meta.url);
  if (!process.argv.includes("--check")) {
    writeFileSync(file, text);
  } else if (readFileSync(file, "utf8") !== text) {
    console.error(`${name} is not what template.yaml says. Run: cargo xtask cdk`);
    isStale = true;
  }
}
process.exit(isStale ? 1 : 0);
