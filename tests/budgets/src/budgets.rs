//! The limits that the figures must stay within. Pure.

use crate::results::{
    BASELINE, CALLS, CALLS_PER_EVENT, CPU_PER_EVENT, FIRST_ANSWER, PEAK_MEMORY, Results,
    WRITE_UNITS_PER_SIGN_IN, of_users,
};
use crate::subjects::{ANSWERING_FUNCTIONS, node_peers, powertools_peer};

/// First answer of a trigger or the read API, divided by that of the faster Node.js variant.
const MAX_FIRST_ANSWER_PER_NODE: f64 = 1.0 / 20.0;
const MAX_PEAK_MEMORY_MEBIBYTES: f64 = 16.0;
const MAX_CALLS_PER_EVENT_OF_100_USERS: f64 = 0.15;
const MAX_CALLS_PER_EVENT_OF_1000_USERS: f64 = 1.2;
/// An allowed attempt takes one unit. The event of the token takes two, and STATS two.
const MAX_WRITE_UNITS_PER_SIGN_IN: f64 = 5.0;
/// Processor time of an event in user-stats, divided by that of Powertools for Python.
const MAX_CPU_PER_POWERTOOLS: f64 = 1.0 / 20.0;

#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    pub name: String,
    pub limit: f64,
    /// `None` if the figure was not measured.
    pub measured: Option<f64>,
}

impl Budget {
    /// `None` if the figure was not measured.
    pub fn is_met(&self) -> Option<bool> {
        self.measured.map(|measured| measured <= self.limit)
    }
}

pub fn budgets(results: &Results) -> Vec<Budget> {
    let mut budgets = Vec::new();
    let mut add = |name: String, limit, measured| budgets.push(Budget { name, limit, measured });
    for function in ANSWERING_FUNCTIONS {
        let name = function.name;
        let first_answer = |other: &str| results.ratio(name, other, FIRST_ANSWER);
        // The faster variant gives the larger ratio.
        let node = node_peers(name).iter().filter_map(|peer| first_answer(peer)).reduce(f64::max);
        add(format!("{name}: first answer, × baseline"), function.max_first_answer, first_answer(BASELINE));
        add(format!("{name}: first answer, × Node.js"), MAX_FIRST_ANSWER_PER_NODE, node);
        add(
            format!("{name}: peak memory, MiB"),
            MAX_PEAK_MEMORY_MEBIBYTES,
            results.median(name, PEAK_MEMORY),
        );
        add(format!("{name}: AWS calls"), function.max_calls, results.median(name, CALLS));
    }
    let worker = "user-stats";
    let calls_per_event = |users| results.median(worker, &of_users(users, CALLS_PER_EVENT));
    let cpu = results.ratio(worker, &powertools_peer(), &of_users(100, CPU_PER_EVENT));
    add(
        format!("{worker}, 100 users: AWS calls per event"),
        MAX_CALLS_PER_EVENT_OF_100_USERS,
        calls_per_event(100),
    );
    add(format!("{worker}, 100 users: CPU per event, × Powertools"), MAX_CPU_PER_POWERTOOLS, cpu);
    add(
        format!("{worker}, 1,000 users: AWS calls per event"),
        MAX_CALLS_PER_EVENT_OF_1000_USERS,
        calls_per_event(1000),
    );
    add(
        format!("{worker}: write units per sign-in"),
        MAX_WRITE_UNITS_PER_SIGN_IN,
        results.median(worker, WRITE_UNITS_PER_SIGN_IN),
    );
    budgets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::medians;

    #[test]
    fn budget_is_met_up_to_its_limit() {
        for (measured, expected) in [(Some(2.0), Some(true)), (Some(2.01), Some(false)), (None, None)] {
            let budget = Budget { name: "x".into(), limit: 2.0, measured };
            assert_eq!(budget.is_met(), expected, "{measured:?}");
        }
    }

    #[test]
    fn committed_results_meet_every_budget() {
        let results: Results = serde_json::from_str(include_str!("../results.json")).unwrap();
        let unmet = budgets(&results).into_iter().filter(|budget| budget.is_met() != Some(true));
        let unmet: Vec<Budget> = unmet.collect();
        assert_eq!(unmet, []);
    }

    #[test]
    fn first_answer_is_compared_with_the_baseline_and_the_faster_node_variant() {
        let results = medians(&[
            (BASELINE, FIRST_ANSWER, 4.0),
            ("pre-sign-up", FIRST_ANSWER, 6.0),
            ("pre-sign-up in Node.js", FIRST_ANSWER, 200.0),
            ("pre-sign-up in Node.js bundled", FIRST_ANSWER, 150.0),
        ]);
        let found = budgets(&results);
        let measured = |name: &str| found.iter().find(|budget| budget.name == name).unwrap().measured;
        assert_eq!(measured("pre-sign-up: first answer, × baseline"), Some(1.5));
        assert_eq!(measured("pre-sign-up: first answer, × Node.js"), Some(0.04), "6 of 150 ms");
        assert_eq!(measured("pre-sign-up: AWS calls"), None);
    }
}
