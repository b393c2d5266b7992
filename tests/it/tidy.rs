//! The repository keeps its promises.

use std::path::{Path, PathBuf};

use shared::events::schema;
use shared::events::{Data, Event, InvalidEvent};

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
    for package in ["shared", "triggers", "workers", "replay", "tests"] {
        rust_files(&root().join(package), &mut files);
    }
    files
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for path in all_rust_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn every_test_that_security_md_names_is_there() {
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
fn the_page_of_operations_tells_every_metric() {
    let mut sources = Vec::new();
    for package in ["shared", "triggers", "workers"] {
        rust_files(&root().join(package).join("src"), &mut sources);
    }
    let sources: String = sources.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let page = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let table = page.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let is_metric = |word: &&str| {
        word.len() > 4
            && word.starts_with(char::is_uppercase)
            && word.chars().all(char::is_alphanumeric)
            && word.contains(|c: char| c.is_lowercase())
    };
    let told: std::collections::BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| cell.split([',', ' ', '(', ')']))
        .filter(is_metric)
        .collect();
    for name in told.iter().filter(|name| **name != "Metric") {
        assert!(sources.contains(&format!("\"{name}\"")), "no metric is named {name}");
    }
    // In the code, a name stands behind a word such as count, counts or measure.
    for (at, _) in sources.match_indices("(\"") {
        let name = sources[at + 2..].split('"').next().unwrap_or_default();
        let before = &sources[sources.floor_char_boundary(at.saturating_sub(60))..at];
        if is_metric(&name) && (before.contains("count") || before.contains("measure")) {
            assert!(told.contains(name), "docs/operations.md does not tell {name}");
        }
    }
}

#[test]
fn the_schema_is_that_of_the_types() {
    let stored = std::fs::read_to_string(root().join(schema::PATH)).unwrap();
    assert!(stored == schema::event_schema(), "stale: cargo run -p replay -- schema");
}

#[test]
fn the_schema_names_every_type_that_can_be_parsed() {
    let schema: serde_json::Value = serde_json::from_str(&schema::event_schema()).unwrap();
    let variants = schema["oneOf"].as_array().unwrap();
    assert_eq!(variants.len(), 18);
    for variant in variants {
        let event_type = variant["properties"]["type"]["const"].as_str().unwrap();
        let body = crate::support::event(event_type, "1", "ana", serde_json::json!({}));
        // Known: it may miss fields or another subject, but the type is known.
        assert_ne!(Event::parse(&body.to_string()), Err(InvalidEvent::UnknownType), "{event_type}");
        if let Ok(event) = Event::parse(&body.to_string()) {
            assert_eq!(event.data.event_type(), event_type);
            let written = serde_json::to_value::<&Data>(&event.data).unwrap();
            assert_eq!(written["type"], event_type);
        }
    }
}

#[test]
fn no_lambda_binary_links_the_embedded_aws() {
    for package in ["shared", "triggers", "workers"] {
        let manifest = std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        assert!(!dependencies.contains("winterbaume") && !dependencies.contains("replay"), "{package}");
    }
}
