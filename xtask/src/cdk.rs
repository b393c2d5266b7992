//! `cargo xtask cdk`: the CDK construct in `deploy/cdk`.

use anyhow::{Result, bail};

use crate::command::{Tool, run};
use crate::repository_root;
use crate::web::npm_ci;

/// The folder of `package.json`.
const PACKAGE: &str = "deploy/cdk";
/// The folder of a release that `cargo xtask dist` makes.
const RELEASE: &str = concat!("target/dist/cognito-user-events-", env!("CARGO_PKG_VERSION"));

/// Write the types of the CDK construct's properties, deploy/cdk/lib/parameters.ts, from template.yaml.
#[derive(Debug, clap::Args)]
pub struct Cdk {
    /// Change nothing, and fail if the file is not what template.yaml says.
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

/// Runs the construct's tests. `python` has the tools of tests/requirements.txt.
pub fn check(python: &std::path::Path) -> Result<()> {
    if !repository_root().join(RELEASE).exists() {
        bail!("{RELEASE} is missing. Run: cargo xtask ci build dist");
    }
    Cdk { check: true }.run()?;
    run(Tool::new("node", &["--test", "--test-reporter=spec", &file("test/")]))?;
    run(Tool::new("python", &["tests/e2e/cdk.py", "--release", RELEASE]).path_first(python))
}

fn build() -> Result<()> {
    run(Tool::new("npm", &["run", "build", "--prefix", PACKAGE, "--silent"]))
}

fn file(name: &str) -> String {
    format!("{PACKAGE}/{name}")
}
