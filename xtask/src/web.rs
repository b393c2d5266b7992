//! `cargo xtask web`: the library that the page in `web/` uses.
//!
//! The page has no build step. `web/vendor` contains files of npm packages as they are there.
//! `tests/web/package-lock.json` pins the versions with integrity hashes, which npm verifies.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::command::{Tool, run};
use crate::repository_root;

/// The folder of `package.json`.
const TESTS: &str = "tests/web";
const VENDOR: &str = "web/vendor";
/// The files of `web/vendor`, and what they are below `node_modules`.
const VENDORED: [(&str, &str); 3] = [
    ("oidc-client-ts.min.js", "oidc-client-ts/dist/browser/oidc-client-ts.min.js"),
    ("oidc-client-ts.license.txt", "oidc-client-ts/LICENSE"),
    // oidc-client-ts.min.js contains this package.
    ("jwt-decode.license.txt", "jwt-decode/LICENSE"),
];

/// Copy the OIDC client of the page from npm to web/vendor, at the version that tests/web/package.json pins.
#[derive(Debug, clap::Args)]
pub struct Web {
    /// Change nothing, and fail if web/vendor is not the package that tests/web/package.json pins.
    #[arg(long)]
    pub check: bool,
}

impl Web {
    pub fn run(&self) -> Result<()> {
        install_packages()?;
        for (name, source) in VENDORED {
            let packaged = repository_root().join(TESTS).join("node_modules").join(source);
            let packaged = fs::read(&packaged).with_context(|| packaged.display().to_string())?;
            let vendored = repository_root().join(VENDOR).join(name);
            if !self.check {
                fs::write(&vendored, packaged).with_context(|| vendored.display().to_string())?;
            } else if fs::read(&vendored).ok() != Some(packaged) {
                bail!(
                    "{VENDOR}/{name} is not the file that {TESTS}/package.json pins: run `cargo xtask web`"
                );
            }
        }
        Ok(())
    }
}

/// Installs the packages of `tests/web/package.json`.
pub fn install_packages() -> Result<()> {
    npm_ci(TESTS)
}

/// Installs the packages of the `package.json` in this folder. npm refuses a package with another hash
/// than the lockfile has.
pub fn npm_ci(folder: &str) -> Result<()> {
    if Tool::new("npm", &["--version"]).output().is_err() {
        bail!("npm is missing: install Node.js 20 or later, which contains it");
    }
    let arguments = ["ci", "--prefix", folder, "--loglevel=error"];
    run(Tool::new("npm", &arguments).without_output())
}
