// Writes lib/parameters.ts from template.yaml: the types of the parameters and the names of the outputs.
//
//     npm run generate              # after a change of the template
//     node generate.mjs --check     # fails if the file is not what the template says

import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "./build/template.js";

const FILE = new URL("lib/parameters.ts", import.meta.url);
const template = parse(readFileSync(new URL("../../template.yaml", import.meta.url), "utf8"));

/** The construct knows the folder of the release, and with it the architecture. */
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
const text = `// Generated from template.yaml by \`npm run generate\`.

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

if (!process.argv.includes("--check")) {
  writeFileSync(FILE, text);
} else if (readFileSync(FILE, "utf8") !== text) {
  console.error(
    "deploy/cdk/lib/parameters.ts is not what template.yaml says. Run in deploy/cdk: npm run generate",
  );
  process.exit(1);
}
