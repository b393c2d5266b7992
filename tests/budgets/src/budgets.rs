//! What must hold, as it was decided. Pure.

use crate::results::{CALLS, CALLS_PER_EVENT, CPU_PER_EVENT, FIRST_ANSWER, FLOOR, PEAK, Results, of_users};
use crate::subjects::{TRIGGERS, node_peers, powertools_peer};

/// How much slower than the floor a trigger may start.
const MOST_TIMES_THE_FLOOR: f64 = 2.0;
/// What share of a peer's time it may take.
const MOST_OF_A_PEER: f64 = 1.0 / 20.0;
const MOST_MEBIBYTES: f64 = 16.0;

/// A budget, and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Of what.
    pub what: String,
    /// At most.
    pub limit: f64,
    /// `None` where it was not measured.
    pub measured: Option<f64>,
}

impl Budget {
    /// Whether it is met; `None` where nobody knows.
    pub fn is_met(&self) -> Option<bool> {
        self.measured.map(|measured| measured <= self.limit)
    }
}

/// Every budget.
pub fn budgets(results: &Results) -> Vec<Budget> {
    let mut budgets = Vec::new();
    let mut add = |what: String, limit, measured| budgets.push(Budget { what, limit, measured });
    for trigger in TRIGGERS {
        let name = trigger.name;
        let first_answer = |other: &str| results.ratio(name, other, FIRST_ANSWER);
        add(
            format!("{name}: spawn to first answer, times the floor"),
            MOST_TIMES_THE_FLOOR,
            first_answer(FLOOR),
        );
        // Of the faster one.
        let share = node_peers(name).iter().filter_map(|peer| first_answer(peer)).reduce(f64::max);
        add(format!("{name}: spawn to first answer, share of Node.js"), MOST_OF_A_PEER, share);
        add(format!("{name}: peak memory, MiB"), MOST_MEBIBYTES, results.median(name, PEAK));
        add(format!("{name}: AWS calls"), trigger.most_calls, results.median(name, CALLS));
    }
    let worker = "user-stats";
    let (hundred, thousand) = (of_users(100, CALLS_PER_EVENT), of_users(1000, CALLS_PER_EVENT));
    let cpu = results.ratio(worker, &powertools_peer(), &of_users(100, CPU_PER_EVENT));
    add(format!("{worker}: AWS calls per event, 100 users"), 0.15, results.median(worker, &hundred));
    add(format!("{worker}: CPU per event, 100 users, share of Powertools"), MOST_OF_A_PEER, cpu);
    add(format!("{worker}: AWS calls per event, 1000 users"), 1.2, results.median(worker, &thousand));
    budgets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::medians;

    #[test]
    fn a_budget_is_met_at_its_limit_and_unknown_where_nothing_was_measured() {
        for (measured, expected) in [(Some(2.0), Some(true)), (Some(2.01), Some(false)), (None, None)] {
            let budget = Budget { what: "x".into(), limit: 2.0, measured };
            assert_eq!(budget.is_met(), expected, "{measured:?}");
        }
    }

    #[test]
    fn the_committed_results_meet_every_budget() {
        let results: Results = serde_json::from_str(include_str!("../results.json")).unwrap();
        let unmet = budgets(&results).into_iter().filter(|budget| budget.is_met() != Some(true));
        let unmet: Vec<Budget> = unmet.collect();
        assert_eq!(unmet, []);
    }

    #[test]
    fn ratios_are_to_the_floor_and_to_the_peer() {
        let results = medians(&[
            ("echo", FIRST_ANSWER, 4.0),
            ("pre-sign-up", FIRST_ANSWER, 6.0),
            ("pre-sign-up in Node.js", FIRST_ANSWER, 200.0),
            ("pre-sign-up in Node.js bundled", FIRST_ANSWER, 150.0),
        ]);
        let found = budgets(&results);
        let measured = |what: &str| found.iter().find(|budget| budget.what == what).unwrap().measured;
        assert_eq!(measured("pre-sign-up: spawn to first answer, times the floor"), Some(1.5));
        assert_eq!(
            measured("pre-sign-up: spawn to first answer, share of Node.js"),
            Some(0.04),
            "of the faster"
        );
        assert_eq!(measured("pre-sign-up: AWS calls"), None);
    }
}
