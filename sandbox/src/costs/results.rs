//! The results of a model under several policies and sizes, for tables and pictures.

use super::day::Model;
use super::month::{Bill, Usage, bill, usage};
use super::outcome::Outcome;
use super::policy::{Policy, Settings};
use super::run::Simulation;

/// Numbers of users in tables and pictures, each with its text.
pub const SCALES: [(u32, &str); 5] = [
    (10_000, "10 thousand"),
    (100_000, "100 thousand"),
    (1_000_000, "1 million"),
    (10_000_000, "10 million"),
    (100_000_000, "100 million"),
];

/// What a pool of `users` users leads to, and its month.
#[derive(Clone, Debug)]
pub(super) struct PoolResult {
    pub users: u32,
    pub outcome: Outcome,
    pub usage: Usage,
    pub bill: Bill,
}

/// Runs the model in pools of several sizes, the results in the order of the sizes. `origin_dollars` is the
/// price of a million requests to the origin.
pub(super) fn results(
    simulation: &Simulation,
    model: &Model,
    settings: &Settings,
    sizes: &[u32],
    origin_dollars: f64,
) -> Vec<PoolResult> {
    let outcomes = simulation.run_sizes(settings, sizes);
    let result = |(users, outcome): (&u32, Outcome)| {
        let usage = usage(&Model { users: *users, ..*model }, &outcome);
        PoolResult { users: *users, bill: bill(&usage, origin_dollars), outcome, usage }
    };
    sizes.iter().zip(outcomes).map(result).collect()
}

/// The results of all policies, in the order of [`Policy::ALL`]. Policies run on all processors.
pub(super) fn of_all_policies(
    model: &Model,
    sizes: &[u32],
    origin_dollars: f64,
) -> Vec<(Policy, Vec<PoolResult>)> {
    let largest = sizes.iter().copied().max().unwrap_or(model.users);
    let simulation = Simulation::new(&Model { users: largest, ..*model });
    let of =
        |policy: Policy| (policy, results(&simulation, model, &policy.settings(), sizes, origin_dollars));
    std::thread::scope(|scope| {
        let of = &of;
        let running = Policy::ALL.map(|policy| (policy, scope.spawn(move || of(policy))));
        running.into_iter().map(|(policy, result)| result.join().unwrap_or_else(|_| of(policy))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::assumptions::ORIGIN_DOLLARS_PER_MILLION;
    use super::*;

    #[test]
    fn defaults_cost_at_most_60_dollars_for_ten_thousand_users() {
        let dollars = |policy: Policy, users, retention_days| {
            let model = Model { users, retention_days, ..Model::default() };
            let simulation = Simulation::new(&model);
            let settings = policy.settings();
            results(&simulation, &model, &settings, &[users], ORIGIN_DOLLARS_PER_MILLION)[0].bill
        };
        for policy in [Policy::Default, Policy::OwnOrigin] {
            let bill = dollars(policy, 10_000, 90.0);
            assert!(bill.total() <= 60.0, "{policy:?}: {bill:?}");
        }
        // For a million users, the target of 300 dollars is met without page views, and only with a shorter
        // retention.
        let bill = dollars(Policy::Default, 1_000_000, 30.0);
        assert!(bill.without_pages() <= 300.0, "{bill:?}");
    }
}
