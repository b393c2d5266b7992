//! What to do about dead letters, by their reason: the short form of "Reasons" in docs/operations.md.

use std::collections::BTreeMap;

use shared::text::printable;

use crate::queue::message::RECEIVED_TOO_OFTEN;

/// What to do about each reason, and the command. Empty without messages.
pub fn render(by_reason: &BTreeMap<String, usize>, queue: &str) -> String {
    if by_reason.is_empty() {
        return String::new();
    }
    let steps = by_reason.keys().map(|reason| next_step(reason, &printable(queue)));
    format!("\nNext steps\n{}", steps.collect::<String>())
}

fn next_step(reason: &str, queue: &str) -> String {
    let redrive = format!("replay redrive --from {queue} --error {reason}");
    let save = format!("replay save {queue} --error {reason} --out {reason}.ndjson --delete");
    let (what, command) = match reason {
        RECEIVED_TOO_OFTEN => ("correct the cause that the worker's log names, then redrive", redrive),
        "unknown_type" => ("deploy a worker that knows the type, then redrive", redrive),
        "in_the_future" => ("correct the producer's clock, and redrive after the event's time", redrive),
        "invalid_data" | "not_json" | "not_cloudevents" | "too_large" => {
            ("correct the producer and the messages, then send the file", save)
        }
        "wrong_queue" => ("correct the sender, then send the file to the right queue", save),
        _ => ("see \"Reasons\" in docs/operations.md. To take the messages out:", save),
    };
    format!("  {reason}: {what}\n    {command}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_of_the_operations_page_has_a_next_step() {
        let page = include_str!("../../../../docs/operations.md");
        let section = page.split("### Reasons").nth(1).unwrap().split("\n### ").next().unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let reasons: Vec<&str> =
            cells.flat_map(|cell| cell.split('`')).filter(|part| part.contains('_')).collect();
        assert!(reasons.len() > 8, "{reasons:?}");
        for reason in reasons {
            let text = next_step(reason, "user-events-dead-letters");
            let redrives = text.contains("replay redrive --from user-events-dead-letters");
            let saves = text.contains("replay save user-events-dead-letters");
            assert!(redrives != saves && text.contains(reason), "{text}");
        }
    }

    #[test]
    fn queue_without_messages_needs_no_next_step() {
        assert_eq!(render(&BTreeMap::new(), "user-events-dead-letters"), "");
    }
}
