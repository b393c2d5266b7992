//! The dependencies of the Lambda binaries: few packages, one HTTP stack, one TLS stack. `cargo xtask
//! weight` checks their size.

use std::collections::BTreeSet;
use std::process::Command;

/// The deployed packages, with the names of all packages that they link. Each new name needs a reason.
const ACCEPTED: [(&str, &str); 4] = [
    ("triggers", include_str!("../weight/triggers.txt")),
    ("workers", include_str!("../weight/workers.txt")),
    ("api", include_str!("../weight/api.txt")),
    ("scheduled", include_str!("../weight/scheduled.txt")),
];

/// Packages that a Lambda binary must not link: a second HTTP or TLS stack, and tools of tests and
/// operators.
const REFUSED: [&str; 17] = [
    "curl",
    "isahc",
    "reqwest",
    "ureq",
    "native-tls",
    "openssl",
    "openssl-sys",
    "ring",
    "s2n-tls",
    "clap",
    "indicatif",
    "proptest",
    "replay",
    "schemars",
    "tests",
    "winterbaume-core",
    "winterbaume-dynamodb",
];

/// Packages that may be linked in one version only.
const ONCE: [&str; 7] = ["aws-lc-rs", "h2", "hyper", "hyper-rustls", "rustls", "tokio", "tokio-rustls"];

/// Runs `cargo tree` with one line for each package.
fn cargo_tree(arguments: &[&str]) -> String {
    let cargo = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    String::from_utf8(cargo.stdout).unwrap()
}

/// The packages that a package links, as `name vversion`, without build dependencies.
fn linked(package: &str) -> BTreeSet<String> {
    packages(&cargo_tree(&["--package", package, "--edges", "normal,no-proc-macro", "--format", "{p}"]))
}

/// `name vversion` of each line. A path or `(*)` may follow.
fn packages(tree: &str) -> BTreeSet<String> {
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?))
    };
    tree.lines().filter_map(package).collect()
}

fn name(package: &str) -> &str {
    package.split(' ').next().unwrap_or_default()
}

#[test]
fn packages_are_counted_once() {
    let tree =
        "workers v0.1.0 (/src/workers)\nhyper v1.12.0\nhyper v1.12.0 (*)\nhttp v0.2.12\nhttp v1.5.0\n\n";
    let expected = ["http v0.2.12", "http v1.5.0", "hyper v1.12.0", "workers v0.1.0"];
    assert_eq!(packages(tree).into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn lambda_binaries_link_one_http_stack_and_one_tls_stack() {
    for (package, _) in ACCEPTED {
        let linked = linked(package);
        let refused: Vec<&String> = linked.iter().filter(|linked| REFUSED.contains(&name(linked))).collect();
        assert!(refused.is_empty(), "{package} links {refused:?}");
        for once in ONCE {
            let versions: Vec<&String> = linked.iter().filter(|linked| name(linked) == once).collect();
            assert!(versions.len() <= 1, "{package} links {versions:?}");
        }
        assert!(linked.iter().any(|linked| name(linked) == "hyper"), "{package}: {linked:?}");
    }
}

#[test]
fn lambda_binaries_link_only_accepted_packages() {
    for (package, accepted) in ACCEPTED {
        let linked: Vec<String> = linked(package).iter().map(|linked| name(linked).to_owned()).collect();
        let accepted: Vec<&str> = accepted.lines().collect();
        assert!(
            linked == accepted,
            "tests/weight/{package}.txt, where each is worth its weight, would be:\n{}",
            linked.join("\n")
        );
    }
}

/// The README's second command reuses what the first one compiled. With other features, it would
/// compile the AWS SDK again, which takes two minutes.
#[test]
fn sandbox_builds_its_dependencies_with_the_features_of_the_tests() {
    let features = |selection: &[&str], edges: &str| {
        let tree = cargo_tree(&[selection, &["--edges", edges, "--format", "{p} {f}"]].concat());
        let lines = tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned());
        lines.collect::<BTreeSet<_>>()
    };
    let sandbox = features(&["--package", "sandbox"], "normal,build");
    let workspace = features(&["--workspace"], "normal,build,dev");
    let different: Vec<&String> = sandbox.difference(&workspace).collect();
    assert!(different.is_empty(), "add the missing features to sandbox/Cargo.toml: {different:?}");
}
