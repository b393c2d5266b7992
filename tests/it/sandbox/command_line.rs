//! The commands of `sandbox`, as they are typed.

use std::process::{Command, Output};

use shared::function_id::FunctionId;

pub fn sandbox(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-under-test"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args(arguments).output().expect("it runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn command_without_arguments_plays_the_first_purchase() {
    let output = sandbox(&[]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in [
        "From sign-up to first purchase",
        "She buys a lamp on her laptop",
        "change pending",
        "EUR 49.90",
        "#user:7d8ca528",
        "Dead letters\n  none",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn json_output_is_one_document() {
    let output =
        sandbox(&["--json", "events/journeys/denied-domain.json", "events/journeys/burst-of-orders.json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let keys: Vec<&String> = document.as_object().expect("an object").keys().collect();
    let mut expected =
        ["steps", "users", "domains", "invalidations", "skipped", "groups", "permissions", "dead_letters"];
    expected.sort_unstable();
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected);
}

#[test]
fn event_of_the_read_api_is_played_with_its_response() {
    let shown = text(&sandbox(&["play", "events/read-api/dashboard.json"]).stdout);
    // The table is empty, so nothing says that the data is old.
    for part in ["answered 200, max-age=0, s-maxage=5", "\"statusCode\": 200", "\"unreadNotifications\": 0"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = text(&sandbox(&["play", "events/read-api/user-of-an-administrator.json"]).stdout);
    assert!(shown.contains("answered 404, no-store") && shown.contains("not-found"), "{shown}");
}

#[test]
fn invalid_files_are_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a name").to_owned()
    };
    let step = |step: &str| format!(r#"{{"name": "x", "steps": [{{"name": "y", {step}}}]}}"#);
    let broken = [
        ("nowhere.json".to_owned(), "nowhere.json: No such file"),
        (write("a.json", "{"), "a.json: "),
        (write("b.json", r#"{"name": "x"}"#), "b.json: "),
        (write("c.json", r#"{"name": "x", "steps": 7}"#), "c.json: steps: "),
        (write("d.json", &step(r#""invoke": "nowhere.json""#)), "d.json: steps[0]: invoke: "),
        (
            write("e.json", &step(r#""invoke": "pre-sign-up/nowhere.json""#)),
            "e.json: steps[0]: invoke: file ",
        ),
        (write("i.json", &step(r#""after": "-1s", "send": ["x"]"#)), "i.json: steps[0]: after: "),
        (write("j.json", r#"{"name": "x", "steps": []}"#), "j.json: steps: is empty"),
        (
            write("k.json", r#"{"name": "x", "steps": [], "environment": {"PreSignupFunction": {}}}"#),
            "k.json: environment.PreSignupFunction: ",
        ),
        (
            write(
                "l.json",
                r#"{"name": "x", "steps": [], "environment": {"PreSignUpFunction": {"BLOCKED": "x"}}}"#,
            ),
            "l.json: environment.PreSignUpFunction.BLOCKED: ",
        ),
        (
            write(
                "m.json",
                r#"{"name": "x", "steps": [], "environment": {"PreSignUpFunction": {"GROUP_RULES": "[]"}}}"#,
            ),
            "m.json: environment.PreSignUpFunction.GROUP_RULES: this function does not read it. It is read by pre-token-generation",
        ),
        (
            write(
                "n.json",
                r#"{"name": "x", "steps": [], "environment": {"UserStatsFunction": {"TABLE_NAME": "x"}}}"#,
            ),
            "n.json: environment.UserStatsFunction.TABLE_NAME: the sandbox sets this variable",
        ),
        (
            write("o.json", &step(r#""suspend": {"sub": "x", "for": "-1h"}"#)),
            "o.json: steps[0]: suspend.for: ",
        ),
        (write("p.json", &step(r#""suspend": {"sub": ""}"#)), "p.json: steps[0]: suspend.sub: "),
        (write("q.json", &step(r#""send": []"#)), "q.json: steps[0]: send: is empty"),
        (
            write("plain.json", r#"{"version": "1", "triggerSource": "PreSignUp_SignUp"}"#),
            "this is an event. Put it into a folder",
        ),
        (write("f.json", &step(r#""after": "soon", "send": []"#)), "f.json: steps[0].after: "),
        (
            write("g.json", &step(r#""send": ["x"], "suspend": {"sub": "x"}"#)),
            "g.json: steps[0]: expected exactly one of",
        ),
        (write("pre-sign-up/h.json", "[1,"), "h.json: "),
        (
            write("pre-sign-up/r.json", r#"{"name": "x", "steps": []}"#),
            "r.json: is not an event of pre-sign-up. Expected an object with the text triggerSource",
        ),
        (write("user-stats/s.json", "[]"), "s.json: is not an event of user-stats. Expected an object with"),
        (
            write("view-cache.json", &step(r#""view": {"sub": "x", "expect": {"cache": "hit"}}"#)),
            "view-cache.json: steps[0]: view.expect.cache: expected one of Hit, Miss, RefreshHit, Error",
        ),
        (
            write("view-path.json", &step(r#""view": {"sub": "x", "path": "/"}"#)),
            "view-path.json: steps[0]: view.path: ",
        ),
        (
            write("view-body.json", &step(r#""view": {"sub": "x", "expect": {"body": {"orders": 1}}}"#)),
            "view-body.json: steps[0]: view.expect.body: orders is not a JSON Pointer",
        ),
        (
            write("view-expect.json", &step(r#""view": {"sub": "x", "expect": {"orders": 1}}"#)),
            "view-expect.json: steps[0].view.expect.orders: unknown field",
        ),
        (
            write("t.json", r#"["x", null, {}, 1, []]"#),
            "t.json: .: invalid type: sequence, expected an object",
        ),
        (
            write("u.json", r#"{"name": "x", "steps": [["y"]]}"#),
            "u.json: steps[0]: invalid type: sequence, expected an object",
        ),
        (
            write(
                "v.json",
                r#"{"name": "x", "steps": [{"name": "y", "send": ["x"]}],
                    "environment": {"PreAuthenticationFunction": {"ON_STORE_ERROR": "maybe"}}}"#,
            ),
            "v.json: PreAuthenticationFunction.ON_STORE_ERROR: \"maybe\" is not one of",
        ),
    ];
    for (path, expected) in broken {
        let output = sandbox(&[&path]);
        let message = text(&output.stderr);
        assert_eq!((output.status.code(), message.lines().count()), (Some(2), 1), "{path}: {message}");
        assert!(message.contains(expected), "{path}: {message}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn invalid_value_in_a_file_of_variables_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("variables.json");
    std::fs::write(&path, r#"{"CustomMessageFunction": {"DEFAULT_LOCALE": "xx"}}"#).expect("a file");
    let output = sandbox(&["--env-vars", path.to_str().expect("a name"), "events/pre-sign-up/sign-up.json"]);
    let message = text(&output.stderr);
    assert_eq!((output.status.code(), message.lines().count()), (Some(2), 1), "{message}");
    assert!(message.contains("variables.json: CustomMessageFunction.DEFAULT_LOCALE: \"xx\""), "{message}");
}

#[test]
fn play_is_the_default_command() {
    let journey = "events/journeys/denied-domain.json";
    assert_eq!(text(&sandbox(&[journey]).stdout), text(&sandbox(&["play", journey]).stdout));
}

#[test]
fn readme_shows_printed_lines() {
    let readme = include_str!("../../../README.md");
    let printed = text(&sandbox(&[]).stdout);
    let blocks: Vec<&str> = readme.split("```\n").filter(|block| block.starts_with("  Mar 02")).collect();
    assert!(!blocks.is_empty(), "README.md shows no lines of the first command");
    for block in blocks {
        assert!(printed.contains(block), "README.md shows lines that are not printed:\n{block}\n{printed}");
    }
    assert!(readme.contains("`answered` means") && readme.contains("`denied` means"));
    let event = "events/pre-sign-up/denied-domain.json";
    let printed = text(&sandbox(&["play", event]).stdout);
    let block = format!("$ cargo sandbox play {event}\n{}", printed.trim_end());
    assert!(readme.contains(&block), "README.md does not show:\n{block}");
}

#[test]
fn configuration_md_names_every_variable() {
    let page = include_str!("../../../docs/configuration.md");
    for function in FunctionId::ALL {
        for name in function.variables() {
            assert!(page.contains(name), "{function}: {name}");
        }
    }
}
