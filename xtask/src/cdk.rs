//! `cargo xtask cdk`: the CDK construct in `deploy/cdk`.

use std::path::Path;

use anyhow::Result;

use crate::command::{Tool, run};
use crate::web::npm_ci;

/// The folder of `package.json`.
const PACKAGE: &str = "deploy/cdk";

/// Write what deploy/cdk and deploy/terraform have of template.yaml: the parameters and the outputs.
#[derive(Debug, clap::Args)]
pub struct Cdk {
    /// Change nothing, and fail if a file is not what template.yaml says.
    #[arg(long)]
    pub check: bool,
}

impl Cdk {
    pub fn run(&self) -> Result<()> {
        npm_ci(PACKAGE)?;
        build()?;
        if self.check {
            return run(Tool::new("node", &[&file("generate.mjs"), "--check"]));
        }
        run(Tool::new("node", &[&file("generate.mjs")]))?;
        build()
    }
}

/// Runs the construct's tests with the folder of a release. `python` has the tools of
/// tests/requirements.txt.
pub fn check(python: &Path, release: &Path) -> Result<()> {
    Cdk { check: true }.run()?;
    run(Tool::new("node", &["--test", "--test-reporter=spec", &file("test/")]))?;
    let release = release.to_string_lossy();
    run(Tool::new("python", &["tests/e2e/cdk.py", "--release", &release]).path_first(python))
}

fn build() -> Result<()> {
    run(Tool::new("npm", &["run", "build", "--prefix", PACKAGE, "--silent"]))
}

fn file(name: &str) -> String {
    format!("{PACKAGE}/{name}")
}
