//! The repository keeps the rules of CONTRIBUTING.md and ARCHITECTURE.md.

mod modules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shared::events::schema;
use shared::events::{Data, Event, InvalidEvent};
use shared::metric::Metric;

/// Packages with a code map in ARCHITECTURE.md.
const PACKAGES: [&str; 9] =
    ["shared", "triggers", "workers", "api", "scheduled", "replay", "sandbox", "template", "xtask"];
/// Lines of a file without its unit tests.
const MAX_LINES: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for package in PACKAGES.into_iter().chain(["tests"]) {
        rust_files(&root().join(package), &mut files);
    }
    files
}

#[test]
fn source_files_begin_with_what_they_are_for() {
    for path in all_rust_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn tests_that_security_md_names_exist() {
    let sources: String =
        all_rust_files().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let page = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let rows =
        page.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | ").map(|(_, tests)| tests));
    let mut count = 0;
    for name in rows.flat_map(|tests| tests.split('`').skip(1).step_by(2)) {
        count += 1;
        assert!(sources.contains(&format!("fn {name}(")), "no test is named {name}");
    }
    assert!(count > 25, "{count}");
}

#[test]
fn operations_md_describes_every_metric_and_no_other() {
    let page = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let section = page.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let documented: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| cell.split([',', ' ', '(', ')']))
        .filter(|word| word.starts_with(char::is_uppercase) && *word != "Metric")
        .collect();
    let metrics: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(documented, metrics);
}

#[test]
fn event_schema_is_up_to_date() {
    let stored = std::fs::read_to_string(root().join(xtask::schema::PATH)).unwrap();
    assert!(stored == schema::event_schema(), "stale: run `cargo xtask schema`");
}

#[test]
fn event_schema_names_every_event_type() {
    let schema: serde_json::Value = serde_json::from_str(&schema::event_schema()).unwrap();
    let variants = schema["oneOf"].as_array().unwrap();
    assert_eq!(variants.len(), 28);
    for variant in variants {
        let event_type = variant["properties"]["type"]["const"].as_str().unwrap();
        let body = crate::support::event(event_type, "1", "ana", serde_json::json!({}));
        // It may lack fields or need another subject, but the type is known.
        assert_ne!(Event::parse(&body.to_string()), Err(InvalidEvent::UnknownType), "{event_type}");
        if let Ok(event) = Event::parse(&body.to_string()) {
            assert_eq!(event.data.event_type(), event_type);
            let written = serde_json::to_value::<&Data>(&event.data).unwrap();
            assert_eq!(written["type"], event_type);
        }
    }
}

#[test]
fn lambda_binaries_do_not_link_the_sandbox() {
    for package in ["shared", "triggers", "workers", "api", "scheduled"] {
        let manifest = std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for refused in ["winterbaume", "sandbox", "replay"] {
            assert!(!dependencies.contains(refused), "{package} depends on {refused}");
        }
    }
}

#[test]
fn replay_depends_on_shared_and_no_other_package() {
    let manifest = std::fs::read_to_string(root().join("replay/Cargo.toml")).unwrap();
    for package in
        ["triggers", "workers", "scheduled", "sandbox", "xtask", "tests", "lambda_runtime", "winterbaume"]
    {
        let line = format!("\n{package}");
        assert!(!manifest.contains(&line), "replay depends on {package}");
    }
}

#[test]
fn code_map_names_every_file() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for package in PACKAGES {
        let section = page.split(&format!("### {package}\n")).nth(1).unwrap_or_default();
        let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
        let src = root().join(package).join("src");
        let mut files = Vec::new();
        rust_files(&src, &mut files);
        let mut names: Vec<String> = files
            .iter()
            .map(|file| file.strip_prefix(&src).unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut listed: Vec<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| "))
            .flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2))
            .filter(|name| name.ends_with(".rs"))
            .collect();
        listed.sort_unstable();
        assert_eq!(listed, names, "ARCHITECTURE.md, code map of {package}");
    }
}

#[test]
fn modules_do_not_use_each_other_in_a_cycle() {
    for package in PACKAGES {
        assert_eq!(modules::cycle(&modules::uses(&root().join(package).join("src"))), None, "{package}");
    }
}

#[test]
fn source_files_are_short() {
    for package in PACKAGES {
        let mut files = Vec::new();
        rust_files(&root().join(package).join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap().lines().count();
            assert!(lines <= MAX_LINES, "{}: {lines} lines", file.display());
        }
    }
}

#[test]
fn workflows_pin_every_action_and_the_compiler_and_state_their_permissions() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let mut pins = std::collections::BTreeMap::new();
    let (mut count, mut writes) = (0, Vec::new());
    for entry in std::fs::read_dir(root().join(".github/workflows")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.display();
        count += 1;
        assert!(
            text.contains(&format!("\n  RUSTUP_TOOLCHAIN: {version}.0\n")),
            "{file}: the version of Cargo.toml"
        );
        assert!(text.contains("\npermissions:\n  contents: read\n\n"), "{file}: permissions of all jobs");
        assert_eq!(text.matches("runs-on: ").count(), text.matches("timeout-minutes: ").count(), "{file}");
        let checkouts = text.matches("actions/checkout@").count();
        assert_eq!(text.matches("persist-credentials: false").count(), checkouts, "{file}");
        for job in text.split("    name: ").filter(|job| job.contains(": write")) {
            writes.push(job.lines().next().unwrap_or_default().to_owned());
            assert!(!job.contains("cargo"), "{file}: a job that may write compiles nothing");
        }
        for line in text.lines() {
            let Some(action) = line.trim_start_matches([' ', '-']).strip_prefix("uses: ") else { continue };
            let (name, pin) = action.split_once('@').unwrap_or_else(|| panic!("{file}: {line}"));
            let (commit, tag) = pin.split_once(" # v").unwrap_or_else(|| panic!("{file}: {line}"));
            assert!(
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{file}: {line}"
            );
            assert!(tag.split('.').count() == 3, "{file}: {line}");
            let before = pins.insert(name.to_owned(), pin.to_owned());
            assert!(before.is_none_or(|before| before == pin), "{file}: {name} has another pin elsewhere");
        }
    }
    assert_eq!(writes, ["release"]);
    assert!(count >= 3 && pins.len() >= 7, "{count} workflows, {} actions", pins.len());
}

#[test]
fn lines_of_the_template_fit_a_screen() {
    for file in ["template.yaml", "samconfig.toml", ".checkov.yaml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let is_long =
            |line: &str| line.chars().count() > if line.trim_start().starts_with('#') { 100 } else { 120 };
        let long = text.lines().zip(1..).filter(|(line, _)| is_long(line)).map(|(_, number)| number);
        assert_eq!(long.collect::<Vec<usize>>(), [0; 0], "lines of {file}");
    }
}
