//! The modules of a package, and which of them use each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module by its path: `["store", "keys"]`. The crate root is empty.
pub type Module = Vec<String>;

/// The modules of a package with the modules that each of them uses. Unit tests do not count.
pub fn uses(src: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut files = Vec::new();
    super::rust_files(src, &mut files);
    let texts: BTreeMap<Module, String> = files
        .iter()
        .filter_map(|file| {
            Some((module(file.strip_prefix(src).unwrap())?, std::fs::read_to_string(file).unwrap()))
        })
        .collect();
    let names: BTreeSet<&Module> = texts.keys().collect();
    texts.iter().map(|(module, text)| (module.clone(), used_by(module, text, &names))).collect()
}

/// The module of a file. `None` for a binary, which nothing can use.
fn module(file: &Path) -> Option<Module> {
    let path = file.with_extension("");
    let parts: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    match parts.first().map(String::as_str) {
        Some("main" | "bin") => None,
        Some("lib") => Some(Vec::new()),
        _ => Some(parts),
    }
}

fn used_by(module: &Module, text: &str, names: &BTreeSet<&Module>) -> BTreeSet<Module> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: String = code.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    // A visibility is not a use.
    let code = code.replace("pub(super)", "pub");
    let mut paths = Vec::new();
    for statement in code.split("use ").skip(1) {
        expand("", statement.split(';').next().unwrap(), &mut paths);
    }
    // Paths in the code itself, such as `crate::text::plural(…)`.
    for word in code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
        paths.push(word.to_owned());
    }
    let used = paths.iter().filter_map(|path| resolve(module, path, names));
    used.filter(|used| used != module && !used.is_empty()).collect()
}

/// Writes out the braces of a use statement: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        paths.push(format!("{prefix}{path}"));
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut item) = (0, String::new());
    for c in rest.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &std::mem::take(&mut item), paths);
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    expand(&prefix, &item, paths);
}

/// The module that a path of `module` leads to. `None` for other crates and for items without a module.
fn resolve(module: &Module, path: &str, names: &BTreeSet<&Module>) -> Option<Module> {
    let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut base = module.clone();
    match parts[0] {
        "crate" => base.clear(),
        "self" | "super" => {}
        // A child, named by its parent.
        child if names.contains(&[module.clone(), vec![child.to_owned()]].concat()) && parts.len() > 1 => {}
        _ => return None,
    }
    while matches!(parts.first(), Some(&"crate" | &"self" | &"super")) {
        if parts.remove(0) == "super" {
            base.pop();
        }
    }
    base.extend(parts.into_iter().map(str::to_owned));
    while !base.is_empty() && !names.contains(&base) {
        base.pop();
    }
    Some(base)
}

/// A cycle of modules that use each other, if there is one.
pub fn cycle(uses: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    fn visit(
        module: &Module,
        uses: &BTreeMap<Module, BTreeSet<Module>>,
        path: &mut Vec<Module>,
        done: &mut BTreeSet<Module>,
    ) -> Option<Vec<Module>> {
        if let Some(start) = path.iter().position(|earlier| earlier == module) {
            return Some(path[start..].to_vec());
        }
        if !done.insert(module.clone()) {
            return None;
        }
        path.push(module.clone());
        let found = uses[module].iter().find_map(|used| visit(used, uses, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| visit(module, uses, &mut Vec::new(), &mut done))
}

#[test]
fn cycle_of_two_files_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let one_way =
        BTreeMap::from([(module("a"), BTreeSet::from([module("b")])), (module("b"), BTreeSet::new())]);
    assert_eq!(cycle(&one_way), None);
    let both_ways = BTreeMap::from([
        (module("a"), BTreeSet::from([module("b")])),
        (module("b"), BTreeSet::from([module("a")])),
    ]);
    assert_eq!(cycle(&both_ways), Some(vec![module("a"), module("b")]));
}

#[test]
fn paths_resolve_to_modules() {
    let names = [vec![], vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]];
    let names: BTreeSet<&Module> = names.iter().collect();
    let used = |text: &str| used_by(&vec!["a".to_owned()], text, &names);
    let child = BTreeSet::from([vec!["a".to_owned(), "b".to_owned()]]);
    assert_eq!(used("use b::{C, D};\n"), child);
    assert_eq!(used("use std::{fmt,\n    io};\nuse crate::{a::b::{C}};\n"), child);
    assert_eq!(used("fn f() { self::b::f() }\n"), child);
    assert_eq!(used("// crate::a::b::f\nuse std::fmt;\n"), BTreeSet::new());
}
