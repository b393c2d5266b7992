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
