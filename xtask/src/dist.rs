//! `cargo xtask dist`: the files of a release. Two builds of the same sources give the same bytes.
//!
//! docs/releases.md describes the files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::{VERSION, repository_root};

pub mod archive;
pub mod bom;
pub mod build;
pub mod folder;
pub mod licenses;
pub mod packaged;
pub mod packages;
pub mod verify;

use build::{Architecture, Paths};

/// Build the files of a release: the functions as zip files, templates that need no build, the page, and replay.
#[derive(Debug, Args)]
pub struct Dist {
    /// Processors of the functions [default: each that this machine can build for].
    #[arg(long, value_enum, value_delimiter = ',')]
    architecture: Vec<Architecture>,
    /// Build only this part.
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<Part>,
    /// Pack the binaries of the last build.
    #[arg(long, conflicts_with = "verify")]
    no_build: bool,
    /// Folder for the files.
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    output: PathBuf,
    /// Build a second time, in a copy of the sources in another folder, and fail if a file differs.
    #[arg(long)]
    verify: bool,
}

/// A part of a release that is built on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The functions, their templates and the page.
    Functions,
    /// replay for this machine, with its manual pages and completions.
    Replay,
}

impl Dist {
    /// Packs what `tests/template/build` built, for the CI step.
    pub fn of_build(output: PathBuf) -> Self {
        Self { architecture: Vec::new(), only: Some(Part::Functions), no_build: true, output, verify: false }
    }

    pub fn run(&self) -> Result<()> {
        let output = repository_root().join(&self.output);
        let paths = Paths::of_this_machine()?;
        std::fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
        remove_earlier_release(&output)?;
        if self.only != Some(Part::Replay) {
            let architectures = self.architectures()?;
            let folder = new_folder(&output, &format!("cognito-user-events-{VERSION}"))?;
            folder::write_common(&folder, &architectures)?;
            folder::write_bom(&folder)?;
            for architecture in architectures {
                if !self.no_build {
                    build::functions(&paths, architecture)?;
                }
                folder::write_functions(&folder, architecture, |function| {
                    build::read(&paths, &paths.binary(architecture, function), function)
                })?;
            }
            archive::write_sums(&folder)?;
            archive::tar_gz(&folder, &[])?;
            let bom = output.join(format!("cognito-user-events-{VERSION}.cdx.json"));
            std::fs::copy(folder.join(folder::BOM), &bom).with_context(|| bom.display().to_string())?;
        }
        if self.only != Some(Part::Functions) {
            let binary = build::replay(&paths, self.no_build)?;
            let folder = new_folder(&output, &format!("replay-{VERSION}-{}", build::host()?))?;
            folder::write_replay(&folder, &build::read(&paths, &binary, "replay")?)?;
            archive::tar_gz(&folder, &["replay"])?;
            std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        write_asset_sums(&output)?;
        if self.verify {
            verify::verify(&paths, &output, &self.arguments())?;
        }
        print(&format!("{}", output.display()));
        Ok(())
    }

    /// The processors that are asked for, or all that this machine can build for.
    fn architectures(&self) -> Result<Vec<Architecture>> {
        let mut chosen = Vec::new();
        for architecture in Architecture::ALL {
            let is_named = self.architecture.contains(&architecture);
            if !is_named && !self.architecture.is_empty() {
                continue;
            }
            if architecture.can_be_built()? {
                chosen.push(architecture);
                continue;
            }
            let problem = format!(
                "Rust's standard library for {architecture} is missing. Run: rustup target add {}",
                architecture.target()
            );
            if is_named {
                bail!("{problem}");
            }
            print(&format!("{architecture}: skipped. {problem}"));
        }
        if chosen.is_empty() {
            bail!("this machine can build for no processor of Lambda: see above");
        }
        Ok(chosen)
    }

    /// The options that decide what is built.
    fn arguments(&self) -> Vec<String> {
        let name = |value: &dyn std::fmt::Display| value.to_string();
        let mut arguments: Vec<String> =
            self.architecture.iter().flat_map(|value| ["--architecture".to_owned(), name(value)]).collect();
        if let Some(part) = self.only.and_then(|part| part.to_possible_value()) {
            arguments.extend(["--only".to_owned(), part.get_name().to_owned()]);
        }
        arguments
    }
}

/// Removes what an earlier run wrote, which could have been another version or another part. Otherwise the
/// checksums would name it. Other files stay.
fn remove_earlier_release(output: &Path) -> Result<()> {
    for entry in std::fs::read_dir(output).with_context(|| output.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("cognito-user-events-") && !name.starts_with("replay-") && name != archive::SUMS
        {
            continue;
        }
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn new_folder(output: &Path, name: &str) -> Result<PathBuf> {
    let folder = output.join(name);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// The checksums of the files next to the folder, which a release has on the web.
fn write_asset_sums(output: &Path) -> Result<()> {
    let mut sums = String::new();
    let mut archives: Vec<PathBuf> = archive::files(output)?;
    archives.retain(|path| path.components().count() == 1 && path.as_path() != Path::new(archive::SUMS));
    for path in archives {
        sums += &archive::sum_line(output, &path)?;
    }
    let path = output.join(archive::SUMS);
    std::fs::write(&path, sums).with_context(|| path.display().to_string())
}

#[expect(clippy::print_stdout, reason = "the paths are the output of the command")]
fn print(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_of_an_earlier_run_is_removed_and_other_files_stay() {
        let output = tempfile::tempdir().unwrap();
        let at = |name: &str| output.path().join(name);
        std::fs::create_dir_all(at("cognito-user-events-0.0.1/functions")).unwrap();
        for name in ["cognito-user-events-0.0.1.tar.gz", "replay-0.0.1-x.tar.gz", "SHA256SUMS", "notes.txt"] {
            std::fs::write(at(name), "1").unwrap();
        }
        remove_earlier_release(output.path()).unwrap();
        assert_eq!(archive::files(output.path()).unwrap(), [PathBuf::from("notes.txt")]);
        assert!(!at("cognito-user-events-0.0.1").exists());
    }
}
