//! The pictures of `replay status` and `replay queues` in the docs: their output with colors, against a
//! stack in memory.
//!
//! To draw them, run these tests once with `INSTA_UPDATE=always`.

use std::path::Path;

use anstyle_svg::{Term, WIN10_CONSOLE};

use super::loopback_stack::LoopbackStack;
use super::{queues, status};

/// Compares a picture of a command's output with the file in `docs/images`, or writes it.
#[expect(clippy::disallowed_methods, reason = "the variable of insta for its own snapshots")]
async fn assert_picture(stack: &LoopbackStack, command: &str) {
    let arguments = [command, "--stack", "cognito-user-events"];
    let run = stack.replay_with(&[("CLICOLOR_FORCE", "1")], &arguments).await;
    assert!(run.stdout.contains('\u{1b}'), "the output has colors: {run:?}");
    let text = format!("$ replay {}\n{}", arguments.join(" "), run.stdout);
    let picture = Term::new().palette(WIN10_CONSOLE).render_svg(&text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/images/replay-{command}.svg"));
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        std::fs::write(&path, &picture).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let draw = "INSTA_UPDATE=always cargo test -p tests --test it replay::pictures";
    assert!(stored == picture, "{} is out of date: run `{draw}`", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_of_status_shows_its_output() {
    assert_picture(&status::bad_night().await, "status").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_of_queues_shows_its_output() {
    assert_picture(&queues::busy_stack().await, "queues").await;
}
