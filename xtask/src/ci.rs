//! `cargo xtask ci`: the checks that a pull request must pass, each step by name.
//!
//! `.ci/run` runs all steps. `.github/workflows/ci.yml` runs them in parallel jobs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command::{Cargo, Tool, run};
use crate::dist::build::Paths;
use crate::dist::{Dist, verify};
use crate::web::Web;
use crate::{VERSION, repository_root, tools};

/// Version of cargo-deny that the step `deny` installs.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Where the step `dist` packs a release, as `cargo xtask dist` does by default.
const DIST: &str = "target/dist";

/// Where the tests look for a browser.
const BROWSERS: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/google-chrome"];

/// Modules of tests/it that the step `dynamodb` runs: transactions, conditions and consistent queries.
/// The others test timeouts, which a slow server exceeds, or call the table so often that they take
/// minutes.
const ON_DYNAMODB: [&str; 6] = [
    "concurrent_workers::",
    "lists::",
    "read_api::",
    "replay::rebuild::",
    "resource_permission::",
    "user_stats::",
];

/// One step. The order is the order in which `cargo xtask ci` runs all of them: cheap checks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// rustfmt finds nothing to change.
    Fmt,
    /// Cargo.lock is up to date.
    Lock,
    /// clippy has no warning.
    Clippy,
    /// rustdoc has no warning.
    Rustdoc,
    /// All tests pass: the README's test command.
    Test,
    /// The README's first command runs, and every journey plays.
    Sandbox,
    /// The sandbox's model of CloudFront and Varnish answer the same requests alike.
    Varnish,
    /// Licenses, sources and duplicate dependencies (cargo-deny, pinned).
    Deny,
    /// The page works in Chromium, and web/vendor is what npm has.
    Web,
    /// The pinned Python tools are installed below target/tools.
    Python,
    /// The tests of the table also pass on AWS's DynamoDB Local.
    Dynamodb,
    /// cfn-lint, sam validate and checkov accept template.yaml.
    Template,
    /// sam build builds the functions. Their weight is within the committed figures.
    Build,
    /// The functions are packed as a release, twice with the same bytes. Its files are valid.
    Dist,
    /// The packed release is deployed to a stand-in for AWS, and users sign up, sign in and see their pages
    /// in Chromium.
    E2e,
    /// The CDK construct has the template's parameters, and deploys a release to the stand-in for AWS.
    Cdk,
    /// Terraform accepts the module, and deploys a release with it to the stand-in for AWS.
    Terraform,
    /// replay moves many messages between queues and loses none.
    Messages,
}

/// Runs steps in the order of [`Step`]. An empty list means all steps.
#[expect(clippy::print_stdout, reason = "the log shows which step runs, and since when")]
pub fn ci(steps: &[Step]) -> Result<()> {
    let started = Instant::now();
    let all = Step::value_variants();
    for step in all.iter().filter(|step| steps.is_empty() || steps.contains(step)) {
        let seconds = started.elapsed().as_secs();
        println!("\n== {:02}:{:02} {}", seconds / 60, seconds % 60, step.name());
        step.run().with_context(|| format!("step {} failed", step.name()))?;
    }
    let seconds = started.elapsed().as_secs();
    println!("\n== {:02}:{:02} passed", seconds / 60, seconds % 60);
    Ok(())
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => run(Cargo(&["fmt", "--all", "--check"])),
            Self::Lock => lock(),
            Self::Clippy => {
                run(Cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
            }
            Self::Rustdoc => run(Tool::cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings")),
            Self::Test => run(Tool::cargo(&["test", "--workspace", "--locked"]).env("INSTA_UPDATE", "no")),
            Self::Sandbox => sandbox(),
            Self::Varnish => varnish(),
            Self::Deny => deny(),
            Self::Web => web(),
            Self::Python => python().map(|_| ()),
            Self::Dynamodb => dynamodb(),
            Self::Template => run(Tool::new("tests/template/check", &[]).path_first(&python()?)),
            Self::Build => {
                // The release's flags, so that the step `dist` can pack these binaries.
                let (name, flags) = Paths::of_this_machine()?.rust_flags()?;
                run(Tool::new("tests/template/build", &[]).env(name, &flags).path_first(&python()?))
            }
            Self::Dist => dist(),
            Self::E2e => {
                let browser = browser()?;
                let release = packed_release()?.to_string_lossy().into_owned();
                let arguments =
                    ["tests/e2e/e2e.py", "--dist", &release, "--replay", &test_binary("replay-under-test")?];
                run(Tool::new("python", &arguments).env("CHROMIUM", browser).path_first(&python()?))
            }
            Self::Cdk => crate::cdk::check(&python()?, &packed_release()?),
            Self::Terraform => crate::terraform::check(&python()?, &tools(), &packed_release()?),
            Self::Messages => {
                let arguments =
                    ["tests/e2e/many_messages.py", "--replay", &test_binary("replay-under-test")?];
                run(Tool::new("python", &arguments).path_first(&python()?))?;
                // The sandbox's DynamoDB is too slow for more users.
                let account = "target/debug/many-users";
                let arguments = ["tests/e2e/many_users.py", "--users", "2000", "--account", account];
                let arguments = [&arguments[..], &["--replay", "target/debug/replay-under-test"]].concat();
                run(Tool::new("python", &arguments).path_first(&python()?))
            }
        }
    }
}

/// The account in memory hands DynamoDB's calls to AWS's own implementation.
fn dynamodb() -> Result<()> {
    let mut arguments = vec!["tests/e2e/dynamodb_local.py", "cargo", "test", "--workspace", "--locked"];
    arguments.extend(["--test", "it", "--"]);
    arguments.extend(ON_DYNAMODB);
    run(Tool::new("python", &arguments).env("INSTA_UPDATE", "no").path_first(&python()?))
}

/// Packs the binaries of the step `build` two times.
fn dist() -> Result<()> {
    let again = "target/dist-again";
    for output in [DIST, again] {
        let folder = repository_root().join(output);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("removing {output}"))?;
        }
        Dist::of_build(output.into()).run()?;
    }
    let again = repository_root().join(again);
    let differences = verify::differences(&repository_root().join(DIST), &again)?;
    std::fs::remove_dir_all(&again).context("removing target/dist-again")?;
    if !differences.is_empty() {
        bail!("two times the same binaries gave different files:\n{}", differences.join("\n"));
    }
    let release = release_folder().to_string_lossy().into_owned();
    run(Tool::new("python", &["tests/dist/check_release.py", &release]).path_first(&python()?))
}

/// The release that the step `dist` packed.
fn packed_release() -> Result<PathBuf> {
    let folder = release_folder();
    if !folder.is_dir() {
        bail!("{} is missing. Run: cargo xtask ci build dist", folder.display());
    }
    Ok(folder)
}

/// Where the step `dist` packs the release.
fn release_folder() -> PathBuf {
    repository_root().join(DIST).join(format!("cognito-user-events-{VERSION}"))
}

/// Builds the binaries of the tests, and returns the path of one of them.
fn test_binary(name: &str) -> Result<String> {
    // `cargo build --package` would compile the SDK again, with other features.
    run(Cargo(&["test", "--workspace", "--no-run", "--locked"]))?;
    Ok(format!("target/debug/{name}"))
}

fn lock() -> Result<()> {
    run(Tool::cargo(&["metadata", "--locked", "--format-version", "1"]).without_output())
}

/// The main journey prints its report. The others are only played.
fn sandbox() -> Result<()> {
    run(Cargo(&["run", "--locked", "--quiet", "--package", "sandbox"]))?;
    for journey in files_in("events/journeys")? {
        let journey = journey.to_string_lossy().into_owned();
        let arguments =
            ["run", "--locked", "--quiet", "--package", "sandbox", "--", "play", "--json", &journey];
        run(Tool::cargo(&arguments).without_output())?;
    }
    Ok(())
}

/// Installs Varnish if it is missing, and compares it with the edge model.
fn varnish() -> Result<()> {
    let packages = ["varnish", "varnish-modules", "gcc", "libc6-dev"];
    // The places of Debian's packages.
    let module = format!("/usr/lib/{}-linux-gnu/varnish/vmods/libvmod_xkey.so", std::env::consts::ARCH);
    let is_installed = ["/usr/sbin/varnishd", &module].into_iter().all(|file| Path::new(file).exists());
    if !is_installed && !apt_get(&packages)? {
        bail!("Varnish or its modules are missing. Run: sudo apt-get install {}", packages.join(" "));
    }
    run(Tool::new(&test_binary("edge-against-varnish")?, &[]))
}

/// Installs Debian packages. Returns `false` if only root can.
fn apt_get(packages: &[&str]) -> Result<bool> {
    if Tool::new("id", &["-u"]).output()?.trim_ascii() != b"0" {
        return Ok(false);
    }
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    run(Tool::new("apt-get", &["update"]).without_output())?;
    run(Tool::new("apt-get", &install).env("DEBIAN_FRONTEND", "noninteractive").without_output())?;
    Ok(true)
}

fn deny() -> Result<()> {
    let root = tools();
    let binary = root.join("bin/cargo-deny");
    if !binary.is_file() {
        let root = root.to_string_lossy().into_owned();
        run(Cargo(&[
            "install",
            "cargo-deny",
            "--version",
            CARGO_DENY_VERSION,
            "--locked",
            "--quiet",
            "--root",
            &root,
        ]))?;
    }
    let arguments = ["--locked", "check", "licenses", "bans", "sources"];
    run(Tool::new(&binary.to_string_lossy(), &arguments))
}

/// Installs the tools of `tests/requirements.txt`, if they are missing or the list changed. Returns
/// the folder of their programs.
fn python() -> Result<PathBuf> {
    let environment = tools().join("python");
    let (wanted, installed) = ("tests/requirements.txt", environment.join("requirements.txt"));
    let read = |path: &Path| std::fs::read(repository_root().join(path)).ok();
    if read(Path::new(wanted)) != read(&installed) {
        if environment.exists() {
            std::fs::remove_dir_all(&environment).context("removing the old Python tools")?;
        }
        let folder = environment.to_string_lossy().into_owned();
        run(Tool::new("python3", &["-m", "venv", &folder]))?;
        let pip = environment.join("bin/pip").to_string_lossy().into_owned();
        let arguments =
            ["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement", wanted];
        run(Tool::new(&pip, &arguments))?;
        std::fs::copy(repository_root().join(wanted), &installed).context("copying requirements.txt")?;
    }
    Ok(environment.join("bin"))
}

/// Compares `web/vendor` with npm, and drives the page in Chromium.
fn web() -> Result<()> {
    Web { check: true }.run()?;
    let (browser, sandbox) = (browser()?, test_binary("sandbox-under-test")?);
    run(Tool::new("node", &["tests/web/web.mjs", "--chromium", browser]))?;
    run(Tool::new("node", &["tests/web/sandbox.mjs", "--chromium", browser, "--sandbox", &sandbox]))
}

/// Installs what drives Chromium, and Chromium itself if it is missing and this process may. Returns the
/// path of the browser.
fn browser() -> Result<&'static str> {
    crate::web::install_packages()?;
    let installed = || BROWSERS.into_iter().find(|path| Path::new(path).exists());
    if installed().is_none() {
        apt_get(&["chromium"])?;
    }
    installed().context("Chromium is missing. Run: sudo apt-get install chromium")
}

fn files_in(folder: &str) -> Result<Vec<PathBuf>> {
    let path = repository_root().join(folder);
    let entries = std::fs::read_dir(&path).with_context(|| path.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    if files.is_empty() {
        bail!("{folder} is empty");
    }
    Ok(files)
}
