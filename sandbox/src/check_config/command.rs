//! `sandbox check-config`: its options and output.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use shared::text::printable;
use template::Template;

use super::{Check, check, parameter_file};
use crate::journey::format::InvalidJourney;

const HELP: &str = "\
Formats of FILE:
  *.toml        samconfig.toml: parameter_overrides in [default.deploy.parameters]
  JSON          [{\"ParameterKey\": …, \"ParameterValue\": …}], {\"Parameters\": {…}} or an object
  other         lines of the form Name=value

CloudFormation itself checks the patterns of the parameters before it changes anything.

Examples:
  cargo sandbox check-config samconfig.toml
  cargo sandbox check-config parameters.json";

/// Check the parameters of a stack before you deploy it: start every function with them.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CheckConfig {
    /// The parameters.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The template.
    /// [default: template.yaml in this folder or above it]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Environment of samconfig.toml, as in `sam deploy --config-env`.
    #[arg(long, value_name = "NAME", default_value = "default")]
    config_env: String,
}

impl CheckConfig {
    pub async fn run(self) -> Result<()> {
        let is_toml = self.file.extension().is_some_and(|extension| extension == "toml");
        let parameters = parameter_file::parse(&read(&self.file)?, is_toml, &self.config_env)
            .map_err(|reason| InvalidJourney::new(&self.file, reason))?;
        let path = self.template.or_else(Template::find);
        let path = path.context("template.yaml is neither here nor above. Name it with --template")?;
        let template =
            Template::parse(&read(&path)?).map_err(|error| InvalidJourney::new(&path, error.to_string()))?;
        let Check { problems, functions } = check(&template, &parameters).await?;
        let mut out = std::io::stdout().lock();
        for problem in &problems {
            writeln!(out, "{}", printable(problem))?;
        }
        match problems.len() {
            0 => writeln!(out, "All {functions} functions start with these parameters.")?,
            1 => bail!("{}: 1 problem. Correct it before you deploy", self.file.display()),
            count => bail!("{}: {count} problems. Correct them before you deploy", self.file.display()),
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, InvalidJourney> {
    std::fs::read_to_string(path).map_err(|error| InvalidJourney::new(path, error.to_string()))
}
