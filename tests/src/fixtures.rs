//! The files in `events/`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use triggers::TriggerEvent;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

/// The text of a fixture, such as `pre-sign-up/sign-up`.
pub fn text(name: &str) -> String {
    let path = folder().join(name).with_extension("json");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fixture as JSON.
pub fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The event of a trigger, after `change`.
pub fn event_with(name: &str, change: impl FnOnce(&mut Value)) -> TriggerEvent {
    let mut event = json(name);
    change(&mut event);
    TriggerEvent::from_json(&event.to_string()).expect("an event")
}

pub fn event(name: &str) -> TriggerEvent {
    event_with(name, |_| ())
}

/// Every fixture in the functions' folders of `events/`, as `function/case`.
pub fn all() -> Vec<String> {
    let mut names = Vec::new();
    for function in shared::function_id::FunctionId::ALL {
        for file in std::fs::read_dir(folder().join(function.name())).expect("a folder for each function") {
            let path = file.expect("a file").path();
            let case = path.file_stem().and_then(|case| case.to_str()).expect("a name");
            names.push(format!("{function}/{case}"));
        }
    }
    names.sort();
    names
}
