//! Help pages of `replay`, and the answers to renamed commands.
//!
//! After you change a help text, run the tests once with `INSTA_UPDATE=always`, and review the
//! changed files in `snapshots`.

use clap::{CommandFactory, Parser};
use replay::cli::Cli;

use super::support::{command, run};

/// Standard output of a help page. No call to AWS is made.
async fn help(arguments: &[&str]) -> String {
    let ran = run(command("http://127.0.0.1:9", &[arguments, &["--help"]].concat())).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    ran.stdout
}

macro_rules! assert_help_pages {
    ($($name:literal: $($command:literal)*;)*) => {
        $({
            let page = help(&[$($command),*]).await;
            insta::assert_snapshot!($name, page);
        })*
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn help_pages_describe_all_commands() {
    assert_help_pages! {
        "replay": ;
        "status": "status";
        "doctor": "doctor";
        "attach": "attach";
        "detach": "detach";
        "queues": "queues";
        "inspect": "inspect";
        "redrive": "redrive";
        "move_task": "move-task";
        "move_task_list": "move-task" "list";
        "move_task_follow": "move-task" "follow";
        "move_task_cancel": "move-task" "cancel";
        "save": "save";
        "send": "send";
        "recover": "recover";
        "user": "user";
        "user_show": "user" "show";
        "user_list": "user" "list";
        "user_create": "user" "create";
        "user_password": "user" "password";
        "user_group": "user" "group";
        "user_group_list": "user" "group" "list";
        "user_group_add": "user" "group" "add";
        "user_group_remove": "user" "group" "remove";
        "user_suspend": "user" "suspend";
        "user_reinstate": "user" "reinstate";
        "user_erase": "user" "erase";
        "user_import": "user" "import";
        "users": "users";
        "reconcile": "reconcile";
        "statistics": "statistics";
        "statistics_rebuild": "statistics" "rebuild";
        "statistics_backfill": "statistics" "backfill";
        "origin": "origin";
        "origin_check": "origin" "check";
        "completions": "completions";
        "man": "man";
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_command_answers_with_its_new_name() {
    let mut answers = String::new();
    for arguments in [
        &["local", "events/journeys/first-hour.json"][..],
        &["preview", "--out", "preview"],
        &["simulate"],
        &["schema"],
        &["stats", "ana"],
        &["suspend", "ana", "--reason", "spam", "--yes"],
        &["reinstate", "ana"],
        &["forget", "ana"],
        &["import"],
        &["rebuild", "--all"],
        &["help", "forget"],
    ] {
        let ran = run(command("http://127.0.0.1:9", arguments)).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        answers += &ran.stderr;
    }
    insta::assert_snapshot!(answers, @r"
    replay: `replay local` was renamed. Use `cargo run -p sandbox`, or `cargo sandbox play FILE`
    replay: `replay preview` was renamed. Use `cargo sandbox preview`
    replay: `replay simulate` was renamed. Use `cargo sandbox costs`, with --months for --scale
    replay: `replay schema` was renamed. Use `cargo xtask schema`
    replay: `replay stats` was renamed. Use `replay user show`
    replay: `replay suspend` was renamed. Use `replay user suspend`
    replay: `replay reinstate` was renamed. Use `replay user reinstate`
    replay: `replay forget` was renamed. Use `replay user erase`
    replay: `replay import` was renamed. Use `replay user import`
    replay: `replay rebuild` was renamed. Use `replay statistics rebuild`, or `replay statistics backfill` for --events
    replay: `replay forget` was renamed. Use `replay user erase`
    ");
}

/// The `replay` commands in the examples of a help page, as words. Quotation marks and redirections are
/// left out.
fn commands_of(examples: &str) -> Vec<Vec<String>> {
    let lines = examples.replace("\\\n", " ");
    let lines = lines.replace("|\n", "|").replace("&&", "|");
    let commands = lines.lines().skip(1).take_while(|line| !line.is_empty()).flat_map(|line| line.split('|'));
    let commands = commands.map(|command| {
        let words = command.split_whitespace().take_while(|word| !word.starts_with('>'));
        words.map(|word| word.trim_matches(['"', '\'']).to_owned()).collect::<Vec<_>>()
    });
    commands.filter(|words| words.first().is_some_and(|word| word == "replay")).collect()
}

#[test]
fn every_command_has_two_to_four_examples_that_it_accepts() {
    fn check(name: &str, command: &clap::Command) {
        for subcommand in command.get_subcommands() {
            check(&format!("{name} {}", subcommand.get_name()), subcommand);
        }
        if command.has_subcommands() {
            return;
        }
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.starts_with("Examples:\n"), "{name}: {examples}");
        let commands = commands_of(&examples);
        let own = commands.iter().filter(|words| words.join(" ").starts_with(&format!("{name} "))).count();
        assert!((2..=4).contains(&own), "{name} has {own} examples: {examples}");
        for words in commands {
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{words:?}: {error}");
            }
        }
    }
    check("replay", &Cli::command());
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_page_has_examples_and_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let ran = run(command("http://127.0.0.1:9", &["man", "--out", out])).await;
    assert_eq!((ran.code, ran.stdout), (0, format!("{out}/replay.1\n")));
    for (name, _) in super::json::commands("", &Cli::command()) {
        let file = format!("replay-{}.1", name.replace(' ', "-"));
        let page = std::fs::read_to_string(folder.path().join(&file)).unwrap();
        let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        assert_eq!(sections[sections.len() - 2..], ["\"EXIT STATUS\"", "\"EXAMPLES\""], "{file}");
        assert!(!page.contains("EXTRA"), "{file}");
    }
    let page = std::fs::read_to_string(folder.path().join("replay-user-password.1")).unwrap();
    insta::assert_snapshot!("man_user_password", page);
}
