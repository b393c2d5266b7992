//! The page in `web/`: what can be checked without a browser. `tests/web` drives it in Chromium.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What turns text into markup or code.
const MARKUP_SINKS: [&str; 8] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "createContextualFragment",
    "DOMParser",
    "eval(",
    "new Function",
];
const LANGUAGES: [&str; 6] = ["de", "en", "es", "fr", "ja", "pt"];

type Texts = BTreeMap<String, String>;

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../web")
}

fn read(path: &str) -> String {
    fs::read_to_string(web().join(path)).unwrap_or_else(|error| panic!("web/{path}: {error}"))
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(web().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn scripts() -> Vec<String> {
    names_in("js").iter().map(|name| read(&format!("js/{name}"))).collect()
}

fn texts(language: &str) -> Texts {
    serde_json::from_str(&read(&format!("locales/{language}.json"))).unwrap()
}

fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
}

/// What follows `start` up to the next double quote, for each `start` in the text.
fn quoted<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(|rest| rest.split('"').next().unwrap())
}

#[test]
fn locales_have_the_same_keys_and_placeholders() {
    let files: BTreeSet<String> = LANGUAGES.iter().map(|language| format!("{language}.json")).collect();
    assert_eq!(names_in("locales"), files);
    let english = texts("en");
    for language in LANGUAGES {
        let texts = texts(language);
        assert_eq!(texts.keys().collect::<Vec<_>>(), english.keys().collect::<Vec<_>>(), "{language}");
        for (key, text) in &texts {
            assert!(!text.trim().is_empty(), "{language}: {key} is empty");
            assert_eq!(placeholders(text), placeholders(&english[key]), "{language}: {key}");
        }
    }
}

#[test]
fn language_menu_has_every_locale() {
    let script = read("js/language.js");
    let menu = script.split("LANGUAGES = {").nth(1).unwrap().split('}').next().unwrap();
    let codes: Vec<&str> = menu.lines().filter_map(|line| Some(line.trim().split_once(':')?.0)).collect();
    assert_eq!(codes, LANGUAGES);
}

#[test]
fn texts_that_the_page_uses_exist() {
    let english = texts("en");
    let page = read("index.html");
    let mut keys: Vec<&str> = quoted(&page, "data-text=\"").collect();
    let scripts = scripts();
    keys.extend(scripts.iter().flat_map(|script| quoted(script, "text(\"")));
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        assert!(english.contains_key(key), "no text has the key {key}");
    }
}

#[test]
fn every_problem_has_a_title_and_a_text() {
    let english = texts("en");
    let scripts = scripts();
    let mut kinds: BTreeSet<&str> =
        scripts.iter().flat_map(|script| quoted(script, "new Problem(\"")).collect();
    let api = read("js/api.js");
    let by_status = api.split("function problemKind").nth(1).unwrap().split("\n}").next().unwrap();
    kinds.extend(quoted(by_status, "return \""));
    assert!(kinds.contains("suspended") && kinds.contains("interrupted"), "{kinds:?}");
    for kind in kinds {
        for part in ["title", "text"] {
            assert!(english.contains_key(&format!("problem.{kind}.{part}")), "{kind} has no {part}");
        }
    }
}

#[test]
fn scripts_never_turn_text_into_markup() {
    for script in scripts() {
        for sink in MARKUP_SINKS {
            assert!(!script.contains(sink), "{sink} in {}", script.lines().next().unwrap());
        }
    }
}

#[test]
fn page_has_no_inline_script_style_or_handler() {
    let page = read("index.html");
    for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        assert!(!tag.starts_with("style"), "<{tag}>");
        assert!(!tag.starts_with("script") || tag.contains(" src=\""), "<{tag}>");
        for attribute in tag.split_whitespace().skip(1).filter_map(|word| Some(word.split_once('=')?.0)) {
            assert!(!attribute.starts_with("on") && attribute != "style", "<{tag}>");
        }
    }
}

#[test]
fn lockfile_has_hashes_and_no_addresses() {
    let lockfile = fs::read_to_string(web().join("../tests/web/package-lock.json")).unwrap();
    let lockfile: serde_json::Value = serde_json::from_str(&lockfile).unwrap();
    let packages = lockfile["packages"].as_object().unwrap();
    assert!(packages.len() > 3);
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].as_str().unwrap().starts_with("sha512-"), "{name}");
        assert!(package.get("resolved").is_none(), "{name}");
    }
}
