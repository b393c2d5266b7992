//! The outcome of a journey as text.

use std::fmt::Write;

use shared::text::{plural, printable, write_statistics};

use super::outcome::Outcome;

pub fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, outcome);
    text
}

fn write(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(out, "Steps")?;
    let width = outcome.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or_default();
    for step in &outcome.steps {
        let time = step.at.strftime("%b %d %H:%M:%S");
        writeln!(out, "  {time}  {:width$}  {}", printable(&step.name), printable(&step.outcome))?;
    }

    if let [step] = outcome.steps.as_slice()
        && let Some(response) = &step.response
    {
        writeln!(out, "\nResponse\n{response:#}")?;
    }

    writeln!(out, "\nStatistics")?;
    if outcome.users.is_empty() && outcome.domains.is_empty() {
        writeln!(out, "  none")?;
    }
    for (sub, statistics) in &outcome.users {
        writeln!(out, "  user {sub}")?;
        write_statistics(out, "    ", statistics)?;
    }
    for (domain, stats) in &outcome.domains {
        let (tried, allowed, denied) = (stats.sign_ups, stats.sign_ups_allowed, stats.sign_ups_denied);
        writeln!(
            out,
            "  domain {domain}: {}, {allowed} allowed, {denied} denied",
            plural(usize::try_from(tried).unwrap_or_default(), "sign-up")
        )?;
    }

    writeln!(out, "\nInvalidations")?;
    if outcome.invalidations.is_empty() {
        writeln!(out, "  none")?;
    }
    for call in &outcome.invalidations {
        writeln!(out, "  {}  {}", call.at.strftime("%b %d %H:%M:%S"), call.items.join(" "))?;
    }
    for (reason, count) in &outcome.skipped {
        let why = match reason.as_str() {
            "coalesced" => "coalesced: one invalidation covers several changes of a user",
            "client_aware" => "not needed: the acting client reads its own change",
            "expires_soon" => "not needed: the cached pages were about to expire",
            "inactive" => "not needed: an inactive user has no cached page",
            "never" => "not needed: INVALIDATION_POLICY has the rule never",
            "already_invalidated" => "skipped: the pages were invalidated after the change",
            "expired" => "skipped: the pages expired after the change",
            other => other,
        };
        writeln!(out, "  {count} {why}")?;
    }

    if !outcome.groups.is_empty() {
        writeln!(out, "\nGroups in the user pool")?;
    }
    for (username, groups) in &outcome.groups {
        let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
        writeln!(out, "  {username}: {groups}")?;
    }

    if !outcome.permissions.is_empty() {
        writeln!(out, "\nPermissions for resources of other users")?;
    }
    for (sub, resources) in &outcome.permissions {
        for (resource, permissions) in resources {
            let permissions = if permissions.is_empty() { "none".to_owned() } else { permissions.join(", ") };
            writeln!(out, "  {sub}: {}: {permissions}", printable(resource))?;
        }
    }

    writeln!(out, "\nDead letters")?;
    if outcome.dead_letters.is_empty() {
        writeln!(out, "  none")?;
    }
    for letter in &outcome.dead_letters {
        let error_type = letter.error_type.as_deref().unwrap_or("too many receives");
        writeln!(
            out,
            "  {}: {error_type}: {}",
            letter.queue,
            letter.error_message.as_deref().unwrap_or_default()
        )?;
    }
    Ok(())
}
