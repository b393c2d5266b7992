//! `docs/read-your-writes.md`: its snippets run, and say what [`EventReference`] says.

use std::io::ErrorKind;
use std::process::Command;

use serde_json::Value;
use shared::events::{Event, EventReference};

const PAGE: &str = include_str!("../../docs/read-your-writes.md");

/// The sources and ids with which each snippet runs.
const EVENTS: [(&str, &str); 5] = [
    ("/shop/orders", "order-1001-placed"),
    ("/shop#1", "50%#2"),
    ("/a%23b", "1"),
    ("https://shop.example.com/größe", "ü?~\u{1f4a1}"),
    ("/s", "a b\tc"),
];

/// The blocks of a language, without their fences.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn block(language: &str) -> &'static str {
    let blocks = blocks(language);
    assert_eq!(blocks.len(), 1, "{language}");
    blocks[0]
}

/// The output of a program. `None` if it is not installed: contributors need only Rust.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).env("PYTHONUTF8", "1").output();
    match output {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        output => {
            let output = output.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(output.status.success(), "{program}: {}", text(&output.stderr));
            Some(text(&output.stdout).trim_end().to_owned())
        }
    }
}

/// Runs a program for each event, and compares what it prints.
fn check(program: &str, arguments: impl Fn(&str, &str) -> Vec<String>) -> bool {
    EVENTS.iter().all(|(source, id)| {
        let arguments = arguments(source, id);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let printed = output_of(program, &arguments);
        if let Some(printed) = &printed {
            assert_eq!(printed, &EventReference::new(source, id).to_string(), "{program}: {source} {id}");
        }
        printed.is_some()
    })
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

#[test]
fn snippets_print_the_reference() {
    let shell = format!("{}after \"$1\" \"$2\"", block("sh"));
    assert!(check("sh", |source, id| owned(&["-c", &shell, "sh", source, id])), "there is always a shell");
    let javascript =
        format!("{}console.log(after({{ source: process.argv[1], id: process.argv[2] }}))", block("js"));
    check("node", |source, id| owned(&["-e", &javascript, "--", source, id]));
    let python = format!("{}\nimport sys\nprint(after(sys.argv[1], sys.argv[2]))", block("python"));
    check("python3", |source, id| owned(&["-c", &python, source, id]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("After.java");
    let main = "public static void main(String[] a) { System.out.println(after(a[0], a[1])); }";
    std::fs::write(&file, format!("class After {{\n{}{main}\n}}\n", block("java"))).unwrap();
    // One start takes a second.
    let (source, id) = EVENTS[1];
    let printed = output_of("java", &[file.to_str().unwrap(), source, id]);
    assert!(printed.is_none_or(|printed| printed == EventReference::new(source, id).to_string()));
}

#[test]
fn event_and_answer_of_the_page_belong_together() {
    let [event, answer] = blocks("json")[..] else { panic!("an event and an answer") };
    let event = Event::parse(event).unwrap();
    assert!(event.client_aware);
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(answer["after"], event.reference().to_string());
}
