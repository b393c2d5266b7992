//! `cargo xtask web`: the library that the page in `web/` uses, and the checks of the page in Chromium.
//!
//! The page has no build step. `web/vendor` contains files of npm packages as they are there.
//! `tests/web/package-lock.json` pins the versions with integrity hashes, which npm verifies.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use crate::command::{Tool, run};
use crate::repository_root;

const TESTS: &str = "tests/web";
const VENDOR: &str = "web/vendor";
/// The files of `web/vendor`, and what they are below `node_modules`.
const VENDORED: [(&str, &str); 3] = [
    ("oidc-client-ts.min.js", "oidc-client-ts/dist/browser/oidc-client-ts.min.js"),
    ("oidc-client-ts.license.txt", "oidc-client-ts/LICENSE"),
    // oidc-client-ts.min.js contains this package.
    ("jwt-decode.license.txt", "jwt-decode/LICENSE"),
];
/// Names of Chromium on Debian, on older Ubuntu, and of Chrome, which can do the same.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Copy the OIDC client of the page from npm to web/vendor, at the version that tests/web pins.
#[derive(Debug, clap::Args)]
pub struct Web {
    /// Change nothing, and fail if web/vendor is not what tests/web pins.
    #[arg(long)]
    check: bool,
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
                    "{VENDOR}/{name} is not the file of the package that {TESTS} pins: run `cargo xtask web`"
                );
            }
        }
        Ok(())
    }
}

/// Compares `web/vendor` with the packages, then drives the page in Chromium.
pub fn check() -> Result<()> {
    Web { check: true }.run()?;
    run(Tool::new("node", &["tests/web/web.mjs", "--chromium", &browser()?]))
}

/// Fails if a package has another hash than the lockfile says.
fn install_packages() -> Result<()> {
    if find("npm").is_none() {
        bail!("npm is missing: install Node.js 20 or later, which contains it");
    }
    run(Tool::new("npm", &["ci", "--prefix", TESTS, "--loglevel=error"]).without_output())
}

/// The path of the browser. Installs Chromium if there is none and this is a container of Debian.
fn browser() -> Result<String> {
    if let Some(path) = BROWSERS.into_iter().find_map(find) {
        return Ok(path);
    }
    let user = Tool::new("id", &["-u"]).output()?;
    if user.trim_ascii() == b"0" && find("apt-get").is_some() {
        run(Tool::new("apt-get", &["-qq", "update"]).without_output())?;
        let arguments = ["-qq", "install", "--yes", "--no-install-recommends", "chromium"];
        run(Tool::new("apt-get", &arguments).without_output())?;
    }
    let message = "no browser: install Chromium, such as with `apt-get install chromium`";
    BROWSERS.into_iter().find_map(find).ok_or_else(|| anyhow!(message))
}

/// The path of a program in one of the folders of PATH.
fn find(program: &str) -> Option<String> {
    let folders = crate::environment_variable("PATH")?;
    let paths = folders.split(':').map(|folder| format!("{folder}/{program}"));
    paths.into_iter().find(|path| Path::new(path).is_file())
}
