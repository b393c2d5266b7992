//! Help pages of `replay`, and the answers to renamed commands.
//!
//! After you change a help text, run the tests once with `INSTA_UPDATE=always`, and review the
//! changed files in `snapshots`.

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
