//! What to do about dead letters, by their reason: the short form of "Reasons" in docs/operations.md.

use std::collections::BTreeMap;

use shared::text::printable;

use crate::queue::message::RECEIVED_TOO_OFTEN;

/// What to do about each reason, and the command. Empty without messages.
pub fn render(by_reason: &BTreeMap<String, usize>, queue: &str) -> String {
    if by_reason.is_empty() {
        return String::new();
    }
    let steps = by_reason.keys().map(|reason| render_step(reason, &printable(queue)));
    format!("\nNext steps\n{}", steps.collect::<String>())
}

/// What to do about the messages of one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Redrive,
    /// Take them out.
    Save,
}

/// The reasons of the page.
const STEPS: [(&str, &str, Step); 15] = [
    (RECEIVED_TOO_OFTEN, "correct the cause that the worker's log names, then redrive", Step::Redrive),
    ("unknown_type", "deploy a worker that knows the type, then redrive", Step::Redrive),
    ("in_the_future", "correct the producer's clock, and redrive after the event's time", Step::Redrive),
    ("invalid_data", CORRECT, Step::Save),
    ("not_json", CORRECT, Step::Save),
    ("not_cloudevents", CORRECT, Step::Save),
    ("too_large", CORRECT, Step::Save),
    (
        "too_old",
        "in user-events, count the file with replay statistics backfill. Otherwise delete it",
        Step::Save,
    ),
    ("not_cloudtrail", "find out who sent it: only the rule of the stack should", Step::Save),
    ("wrong_queue", "correct the sender, then send the file to the right queue", Step::Save),
    (
        "erasure_not_allowed",
        "if the user asked for it, run replay user erase. Then delete the file",
        Step::Save,
    ),
    ("unknown_group", "create the group or set CreateGroups. The next token adds the user", Step::Save),
    ("unmanaged_group", "no rule of GROUP_RULES has the group, or not any more", Step::Save),
    ("refused", "if the group name is wrong, correct GROUP_RULES", Step::Save),
    ("too_many_groups", "delete groups, or give the user fewer. The next token adds the user", Step::Save),
];
const CORRECT: &str = "correct the producer and the messages, then send the file";

fn render_step(reason: &str, queue: &str) -> String {
    let save = format!("replay save {queue} --error {reason} --out {reason}.ndjson --delete");
    let Some((_, what, step)) = STEPS.into_iter().find(|(known, ..)| *known == reason) else {
        // A reason of another tool can have any form.
        return format!(
            "  {reason}: not a reason of these workers. Look at the messages: replay inspect {queue} --sample 3\n"
        );
    };
    let command = match step {
        Step::Redrive => format!("replay redrive --from {queue} --error {reason}"),
        Step::Save => save,
    };
    format!("  {reason}: {what}\n    {command}\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_of_the_operations_page_has_a_next_step_and_no_other_has_one() {
        let page = include_str!("../../../../docs/operations.md");
        let section = page.split("### Reasons").nth(1).unwrap().split("\n### ").next().unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let is_reason = |part: &&str| *part == "refused" || part.contains('_');
        let of_page: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`')).filter(is_reason).collect();
        let known: BTreeSet<&str> = STEPS.iter().map(|(reason, ..)| *reason).collect();
        assert_eq!(known, of_page);
        for (reason, _, step) in STEPS {
            let text = render_step(reason, "shop-user-events-dead-letters");
            let redrives = text.contains("replay redrive --from shop-user-events-dead-letters --error");
            let saves = text.contains("replay save shop-user-events-dead-letters --error");
            assert_eq!((redrives, saves), (step == Step::Redrive, step != Step::Redrive), "{text}");
        }
    }

    #[test]
    fn reason_that_is_no_code_is_in_no_command() {
        for reason in ["", "masked (not a code)", "of_another_tool"] {
            let text = render_step(reason, "shop-user-events-dead-letters");
            assert!(!text.contains("--error"), "{text}");
        }
    }

    #[test]
    fn queue_without_messages_needs_no_next_step() {
        assert_eq!(render(&BTreeMap::new(), "user-events-dead-letters"), "");
    }
}
