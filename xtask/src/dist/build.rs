//! Builds the binaries of a release, without the paths of the machine that builds them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command::{Tool, run};
use crate::{environment_variable, repository_root};

/// A processor of the functions, by Lambda's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    #[value(name = "x86_64")]
    X86_64,
    #[value(name = "arm64")]
    Arm64,
}

impl Architecture {
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// The compiler's name of the target.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// True if this machine has Rust's standard library for the target.
    pub fn can_be_built(self) -> Result<bool> {
        Ok(sysroot()?.join("lib/rustlib").join(self.target()).join("lib").is_dir())
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

/// The folder of the Rust toolchain.
pub fn sysroot() -> Result<PathBuf> {
    let output = Tool::new("rustc", &["--print", "sysroot"]).output()?;
    Ok(PathBuf::from(String::from_utf8(output)?.trim()))
}

/// The target of this machine's own compiler.
pub fn host() -> Result<String> {
    compiler("host: ")
}

/// The version of the compiler.
pub fn rust_version() -> Result<String> {
    compiler("release: ")
}

/// A line of `rustc --version --verbose`.
fn compiler(line: &str) -> Result<String> {
    let output = String::from_utf8(Tool::new("rustc", &["--version", "--verbose"]).output()?)?;
    let value = output.lines().find_map(|text| text.strip_prefix(line));
    Ok(value.with_context(|| format!("rustc --version --verbose has no line `{line}`"))?.to_owned())
}

/// Folders of this machine that the compiler would write into a binary, and what it writes instead.
///
/// The sources of dependencies are below the home of Cargo, generated code is below the target folder. If several
/// prefixes match, the compiler takes the last one.
pub struct Paths {
    pub root: PathBuf,
    pub cargo_home: PathBuf,
    pub target: PathBuf,
}

impl Paths {
    pub fn of_this_machine() -> Result<Self> {
        let root = repository_root();
        let home = environment_variable("HOME").map(PathBuf::from);
        let cargo_home = environment_variable("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| home.map(|home| home.join(".cargo")));
        let target =
            environment_variable("CARGO_TARGET_DIR").map_or(root.join("target"), |path| root.join(path));
        Ok(Self { root, cargo_home: cargo_home.context("HOME is not set. Set CARGO_HOME")?, target })
    }

    /// The variable that Cargo adds to the compiler's flags, and its value. cargo-lambda adds flags too. `RUSTFLAGS`
    /// would replace them: <https://doc.rust-lang.org/cargo/reference/config.html#buildrustflags>
    pub fn rust_flags(&self) -> Result<(&'static str, String)> {
        let mut flags = Vec::new();
        for (path, name) in [(&self.root, "/source"), (&self.cargo_home, "/cargo"), (&self.target, "/target")]
        {
            let path = path.display().to_string();
            // Cargo splits the variable at spaces.
            if path.contains([' ', '\t', '\n', '=']) {
                bail!(
                    "{path}: a release cannot be built in a folder with a space or `=` in its name. Rename it"
                );
            }
            flags.push(format!("--remap-path-prefix={path}={name}"));
        }
        Ok(("CARGO_BUILD_RUSTFLAGS", flags.join(" ")))
    }

    /// Refuses a binary that contains one of these folders, because it would differ from a build on another machine.
    pub fn check(&self, name: &str, binary: &[u8]) -> Result<()> {
        for path in [&self.root, &self.cargo_home, &self.target] {
            let path = path.display().to_string();
            if contains(binary, format!("{path}/").as_bytes()) {
                bail!(
                    "{name} contains paths of this machine below {path}. Build it with `cargo xtask dist` without \
                     --no-build, or with `cargo xtask ci build`"
                );
            }
        }
        Ok(())
    }

    /// Where cargo-lambda leaves a binary for a processor. By default, it would overwrite the one for the other
    /// processor.
    pub fn binary(&self, architecture: Architecture, name: &str) -> PathBuf {
        self.lambda_folder(architecture).join(name).join("bootstrap")
    }

    fn lambda_folder(&self, architecture: Architecture) -> PathBuf {
        self.target.join("lambda").join(architecture.to_string())
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else { return true };
    let mut rest = bytes;
    while let Some(position) = rest.iter().position(|byte| byte == first) {
        rest = &rest[position..];
        if rest.starts_with(text) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Builds all functions for a processor, with the same command as `tests/template/build`.
pub fn functions(paths: &Paths, architecture: Architecture) -> Result<()> {
    cargo_lambda(paths, architecture, &[])
}

/// Builds `replay` for this machine, and returns its path.
///
/// On Linux, zig links it, so that it also runs on distributions with an older glibc.
pub fn replay(paths: &Paths, no_build: bool) -> Result<PathBuf> {
    let host = host()?;
    let path = match Architecture::ALL.into_iter().find(|architecture| architecture.target() == host) {
        Some(architecture) => {
            if !no_build {
                // cargo-lambda's optimizations are for Lambda's processors.
                let arguments = ["--disable-optimizations", "--package", "replay", "--bin", "replay"];
                cargo_lambda(paths, architecture, &arguments)?;
            }
            paths.binary(architecture, "replay")
        }
        None => {
            if !no_build {
                let (name, flags) = paths.rust_flags()?;
                let arguments = ["build", "--release", "--locked", "--quiet", "--target", &host];
                let arguments = [&arguments[..], &["--package", "replay"]].concat();
                run(Tool::cargo(&arguments).env(name, &flags))?;
            }
            paths.target.join(&host).join("release/replay")
        }
    };
    Ok(path)
}

fn cargo_lambda(paths: &Paths, architecture: Architecture, arguments: &[&str]) -> Result<()> {
    // `cargo xtask ci python` installs cargo-lambda and zig there.
    let tools = crate::tools().join("python/bin");
    if Tool::cargo(&["lambda", "--version"]).path_first(&tools).output().is_err() {
        bail!("cargo-lambda is missing. Run: pip install cargo-lambda ziglang");
    }
    let folder = paths.lambda_folder(architecture).to_string_lossy().into_owned();
    let mut all = vec!["lambda", "build", "--release", "--locked", "--quiet", "--lambda-dir", &folder];
    if architecture == Architecture::Arm64 {
        all.push("--arm64");
    }
    all.extend(arguments);
    let (name, flags) = paths.rust_flags()?;
    run(Tool::cargo(&all).env(name, &flags).path_first(&tools))
}

/// The bytes of a built binary.
pub fn read(paths: &Paths, path: &Path, name: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path)
        .with_context(|| format!("{name}: no binary at {}. Run it without --no-build", path.display()))?;
    paths.check(name, &bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(root: &str) -> Paths {
        Paths { root: root.into(), cargo_home: "/home/ana/.cargo".into(), target: "/var/target".into() }
    }

    #[test]
    fn flags_replace_the_folders_of_this_machine() {
        let flags = paths("/home/ana/project").rust_flags().unwrap();
        let expected = "--remap-path-prefix=/home/ana/project=/source --remap-path-prefix=/home/ana/.cargo=/cargo \
                        --remap-path-prefix=/var/target=/target";
        assert_eq!(flags, ("CARGO_BUILD_RUSTFLAGS", expected.to_owned()));
        let error = paths("/home/ana/my project").rust_flags().unwrap_err().to_string();
        assert!(error.starts_with("/home/ana/my project: "), "{error}");
    }

    #[test]
    fn binary_with_a_path_of_this_machine_is_refused() {
        let paths = paths("/home/ana/project");
        for (binary, is_refused) in [
            ("\0/cargo/registry/src/index/jiff-0.2.1/src/lib.rs\0", false),
            ("\0/home/ana/.cargo/registry/src/index/jiff-0.2.1/src/lib.rs\0", true),
            ("\0/home/ana/project/shared/src/lib.rs", true),
            ("//var/target/release/build/askama/out.rs", true),
            ("/home/ana/projects/other.rs", false),
            ("", false),
        ] {
            assert_eq!(paths.check("read-api", binary.as_bytes()).is_err(), is_refused, "{binary}");
        }
    }
}
