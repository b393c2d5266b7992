//! `cargo xtask dist --verify`: a second build, whose files must be the same.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::archive;
use super::build::Paths;
use crate::command::{Tool, run};
use crate::repository_root;

/// Builds the same parts in a copy of the sources, and compares the files with `output`.
///
/// Sources, target folder and home of Cargo have other paths there.
pub fn verify(paths: &Paths, output: &Path, arguments: &[String]) -> Result<()> {
    let copy = tempfile::Builder::new().prefix("another-path-").tempdir()?;
    let sources = copy.path().join("sources");
    copy_sources(&sources)?;
    let cargo_home = copy.path().join("cargo-home");
    link_cargo_home(&paths.cargo_home, &cargo_home)?;
    let second = copy.path().join("dist").to_string_lossy().into_owned();
    let mut all = vec!["run", "--quiet", "--locked", "--package", "xtask", "--", "dist", "--output", &second];
    all.extend(arguments.iter().map(String::as_str));
    let build = Tool::cargo(&all)
        .folder(&sources)
        // The copy has no tools of its own.
        .path_first(&crate::tools().join("python/bin"))
        .env("CARGO_HOME", &cargo_home.to_string_lossy())
        .env("CARGO_TARGET_DIR", &copy.path().join("build").to_string_lossy());
    run(build).context("the second build failed")?;
    let differences = differences(output, Path::new(&second))?;
    if !differences.is_empty() {
        bail!("two builds gave different files:\n{}", differences.join("\n"));
    }
    Ok(())
}

/// The paths of files that only one of the folders has, or that differ.
pub fn differences(first: &Path, second: &Path) -> Result<Vec<String>> {
    let (files, others) = (archive::files(first)?, archive::files(second)?);
    let mut found = Vec::new();
    for file in files.iter().chain(others.iter().filter(|file| !files.contains(file))) {
        let same = std::fs::read(first.join(file)).ok() == std::fs::read(second.join(file)).ok();
        if !same {
            found.push(file.display().to_string());
        }
    }
    Ok(found)
}

/// Copies the files that Git knows, with their uncommitted changes.
fn copy_sources(to: &Path) -> Result<()> {
    let listed =
        Tool::new("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
    for name in String::from_utf8(listed)?.split_terminator('\0') {
        let (from, to) = (repository_root().join(name), to.join(name));
        if !from.is_file() {
            continue; // A file that is deleted and not yet committed.
        }
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::copy(&from, &to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

/// Another path for the home of Cargo: links to its files, so that nothing is downloaded again.
fn link_cargo_home(home: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(home).with_context(|| home.display().to_string())? {
        let path = entry?.path();
        std::os::unix::fs::symlink(&path, to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_additional_and_changed_files_are_differences() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, files) in [
            (&first, [("same", "1"), ("changed", "1"), ("only-first", "1")]),
            (&second, [("same", "1"), ("changed", "2"), ("only-second", "1")]),
        ] {
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
        }
        let found = differences(first.path(), second.path()).unwrap();
        assert_eq!(found, ["changed", "only-first", "only-second"]);
    }
}
