//! The packages that a release contains: what Cargo links into its binaries, what it needs to build them, and the
//! library of the page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::build::Architecture;
use crate::command::Tool;
use crate::repository_root;

/// The name and the version of a package.
pub type Id = (String, String);

/// A package of crates.io or of this workspace.
pub struct Package {
    pub id: Id,
    /// The license as SPDX expression.
    pub license: String,
    /// SHA-256 of the package on crates.io. `None` for a package of this workspace.
    pub checksum: Option<String>,
    /// The folder of its sources.
    pub folder: PathBuf,
    /// True if code of the package is in a binary. False for procedural macros and what build scripts use.
    pub is_linked: bool,
    pub dependencies: BTreeSet<Id>,
}

/// A package of npm that `web/vendor` contains.
pub struct NpmPackage {
    pub id: Id,
    pub license: String,
    pub dependencies: BTreeSet<Id>,
}

/// Where `replay` runs. The functions run on [`Architecture::ALL`].
const REPLAY_TARGETS: [&str; 3] =
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"];

/// The packages in the functions and in `replay`, on all processors, sorted by name. The result does not depend on
/// the machine.
pub fn packages() -> Result<Vec<Package>> {
    let linked = in_binaries("normal,no-proc-macro")?;
    let used = in_binaries("normal,build")?;
    let checksums = checksums(&std::fs::read_to_string(repository_root().join("Cargo.lock"))?);
    let metadata = Tool::cargo(&["metadata", "--locked", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&metadata).context("cargo metadata")?;
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let ids: BTreeMap<String, Id> =
        array(&metadata["packages"]).iter().map(|package| (text(&package["id"]), id(package))).collect();
    let mut edges: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    for node in array(&metadata["resolve"]["nodes"]) {
        let from = ids.get(&text(&node["id"])).context("cargo metadata: a node without a package")?;
        for dependency in array(&node["deps"]) {
            let only_for_tests = array(&dependency["dep_kinds"]).iter().all(|kind| kind["kind"] == "dev");
            let to = ids
                .get(&text(&dependency["pkg"]))
                .context("cargo metadata: a dependency without a package")?;
            if !only_for_tests && used.contains(to) {
                edges.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let mut packages: Vec<Package> = array(&metadata["packages"])
        .iter()
        .filter(|package| used.contains(&id(package)))
        .map(|package| Package {
            id: id(package),
            license: expression(&text(&package["license"])),
            checksum: checksums.get(&id(package)).cloned(),
            folder: Path::new(&text(&package["manifest_path"]))
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
            is_linked: linked.contains(&id(package)),
            dependencies: edges.remove(&id(package)).unwrap_or_default(),
        })
        .collect();
    packages.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(packages)
}

/// The packages of npm, from the lockfile of the tests, with which a test compares `web/vendor`.
pub fn npm_packages() -> Result<Vec<NpmPackage>> {
    let lock = std::fs::read_to_string(repository_root().join("tests/web/package-lock.json"))?;
    let lock: Value = serde_json::from_str(&lock).context("tests/web/package-lock.json")?;
    let id =
        |name: &str| (name.to_owned(), text(&lock["packages"][format!("node_modules/{name}")]["version"]));
    let package = |name: &str, dependencies: &[&str]| NpmPackage {
        id: id(name),
        license: text(&lock["packages"][format!("node_modules/{name}")]["license"]),
        dependencies: dependencies.iter().map(|name| id(name)).collect(),
    };
    Ok(vec![package("jwt-decode", &[]), package("oidc-client-ts", &["jwt-decode"])])
}

/// What the binaries of a release depend on. Cargo chooses features as it does for the build: the functions are the
/// default members of the workspace.
fn in_binaries(edges: &str) -> Result<BTreeSet<Id>> {
    let mut found = BTreeSet::new();
    let functions = Architecture::ALL.map(|architecture| (architecture.target(), &[][..]));
    let replay = REPLAY_TARGETS.map(|target| (target, &["--package", "replay"][..]));
    for (target, package) in functions.into_iter().chain(replay) {
        let arguments = ["tree", "--locked", "--prefix", "none", "--format", "{p}", "--edges", edges];
        let output = Tool::cargo(&[&arguments[..], &["--target", target], package].concat()).output()?;
        found.extend(String::from_utf8(output)?.lines().filter_map(tree_line));
    }
    Ok(found)
}

/// Reads `name v1.2.3 (/folder)`.
fn tree_line(line: &str) -> Option<Id> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
}

/// The checksums of a `Cargo.lock`, in which each package is a block of lines.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let blocks = lock.split("[[package]]");
    let found = blocks.filter_map(|block| {
        let value = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.map(|line| line.trim_end_matches('"').to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    });
    found.collect()
}

/// Old packages write `MIT/Apache-2.0`, which is not SPDX.
fn expression(license: &str) -> String {
    license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

fn id(package: &Value) -> Id {
    (text(&package["name"]), text(&package["version"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: &str) -> Id {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn lines_of_cargo_tree_are_packages() {
        for (line, expected) in [
            ("shared v0.1.0 (/home/ana/project/shared)", Some(id("shared", "0.1.0"))),
            ("serde_derive v1.0.228 (proc-macro) (*)", Some(id("serde_derive", "1.0.228"))),
            ("", None),
            ("[build-dependencies]", None),
        ] {
            assert_eq!(tree_line(line), expected, "{line}");
        }
    }

    #[test]
    fn checksums_are_those_of_cargo_lock() {
        let lock = "version = 4\n\n[[package]]\nname = \"adler2\"\nversion = \"2.0.1\"\n\
                    source = \"registry\"\nchecksum = \"320119\"\n\n[[package]]\nname = \"api\"\nversion = \"0.1.0\"\n";
        assert_eq!(checksums(lock), BTreeMap::from([(id("adler2", "2.0.1"), "320119".to_owned())]));
    }

    #[test]
    fn old_form_of_two_licenses_becomes_an_expression() {
        for (license, expected) in [
            ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
            ("Apache-2.0 / MIT", "Apache-2.0 OR MIT"),
            ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ] {
            assert_eq!(expression(license), expected);
        }
    }
}
