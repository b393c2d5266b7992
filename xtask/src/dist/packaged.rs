//! The template of a release: `template.yaml` with the zip files of the functions instead of a build.

use anyhow::{Context, Result, bail};

use super::build::Architecture;

/// What `template.yaml` has for `sam build`, one line for each function.
const BUILD: (&str, &str) =
    ("    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: ", " } }");
/// The line of `Globals` that `sam build` reads.
const SOURCES: &str = "    CodeUri: .";
/// The parameter that a release fixes, up to its last line.
const ARCHITECTURE: &str = "  Architecture:
    Type: String
    Default: arm64
    AllowedValues: [arm64, x86_64]
    Description: >-
      Processor of the functions. sam build needs the same value. samconfig.toml has the line to
      change.
";

/// The text of the template for a processor. The comments and the order stay. It differs in three places:
///
/// - Each function has the `CodeUri` of its zip file, relative to the template, and no `Metadata` for `sam build`.
/// - `Globals` has no `CodeUri`.
/// - `Architecture` allows only this processor.
///
/// Fails if `template` does not have the lines that it replaces.
pub fn template(template: &str, architecture: Architecture) -> Result<String> {
    let parameter = format!(
        "  Architecture:\n    Type: String\n    Default: {architecture}\n    AllowedValues: [{architecture}]\n    \
         Description: Processor of the functions. This template contains binaries for {architecture}.\n"
    );
    let template = replaced_once(template, ARCHITECTURE, &parameter)?;
    let template = replaced_once(&template, &format!("{SOURCES}\n"), "")?;
    let mut lines = Vec::new();
    let mut waiting: Option<&str> = None;
    for line in template.lines() {
        if let Some(name) = line.strip_prefix(BUILD.0).and_then(|rest| rest.strip_suffix(BUILD.1)) {
            if let Some(before) = waiting.replace(name) {
                bail!("template.yaml: {before} has no line `    Properties:` below its Metadata");
            }
            continue;
        }
        lines.push(line.to_owned());
        if line == "    Properties:"
            && let Some(name) = waiting.take()
        {
            lines.push(format!("      CodeUri: {}", zip_path(architecture, name)));
        }
    }
    if let Some(line) = lines.iter().find(|line| line.contains("rust-cargolambda")) {
        bail!(
            "template.yaml: cannot replace `{}`: write the Metadata in one line, as other functions",
            line.trim()
        );
    }
    Ok(lines.join("\n") + "\n")
}

/// The path of a function's zip file, relative to the template.
pub fn zip_path(architecture: Architecture, function: &str) -> String {
    format!("functions/{architecture}/{function}.zip")
}

fn replaced_once(text: &str, from: &str, to: &str) -> Result<String> {
    let (before, after) = text.split_once(from).with_context(|| {
        format!("template.yaml has no `{}`. Change xtask/src/dist/packaged.rs together with it", from.trim())
    })?;
    if after.contains(from) {
        bail!("template.yaml has `{}` twice", from.trim());
    }
    Ok([before, to, after].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use template::Template;

    use super::*;
    use crate::repository_root;

    fn parsed(text: &str) -> Vec<Value> {
        let template = Template::parse(text).unwrap();
        let sections =
            ["Transform", "Metadata", "Parameters", "Rules", "Conditions", "Globals", "Resources", "Outputs"];
        sections.into_iter().map(|name| template.section(name).clone()).collect()
    }

    #[test]
    fn packaged_template_differs_from_the_source_only_in_the_code_and_the_processor() {
        let source = std::fs::read_to_string(repository_root().join("template.yaml")).unwrap();
        for architecture in Architecture::ALL {
            let packaged = template(&source, architecture).unwrap();
            let mut expected = parsed(&source);
            let name = architecture.to_string();
            let parameter = expected[2]["Architecture"].as_object_mut().unwrap();
            parameter.insert("Default".to_owned(), json!(name));
            parameter.insert("AllowedValues".to_owned(), json!([name]));
            parameter.insert(
                "Description".to_owned(),
                json!(format!("Processor of the functions. This template contains binaries for {name}.")),
            );
            expected[5]["Function"].as_object_mut().unwrap().remove("CodeUri").unwrap();
            let mut count = 0;
            for function in expected[6].as_object_mut().unwrap().values_mut() {
                if function["Type"] == "AWS::Serverless::Function" {
                    let metadata = function.as_object_mut().unwrap().remove("Metadata").unwrap();
                    let binary = metadata["BuildProperties"]["Binary"].as_str().unwrap();
                    function["Properties"]["CodeUri"] = json!(format!("functions/{name}/{binary}.zip"));
                    count += 1;
                }
            }
            assert_eq!(parsed(&packaged), expected, "{architecture}");
            assert_eq!(count, Template::read().functions().len());
        }
    }

    #[test]
    fn template_without_the_expected_lines_is_refused() {
        let globals = "Globals:\n  Function:\n    CodeUri: .\n";
        let split = "  A:\n    Metadata:\n      BuildMethod: rust-cargolambda\n    Properties: {}\n";
        for (text, problem) in [
            (globals.to_owned(), "template.yaml has no `Architecture:"),
            (format!("{ARCHITECTURE}{ARCHITECTURE}{globals}"), "template.yaml has `Architecture:"),
            (ARCHITECTURE.to_owned(), "template.yaml has no `CodeUri: .`"),
            (
                format!("{ARCHITECTURE}{globals}{split}"),
                "template.yaml: cannot replace `BuildMethod: rust-cargolambda`",
            ),
        ] {
            let error = template(&text, Architecture::Arm64).unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
