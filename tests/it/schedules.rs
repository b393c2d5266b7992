//! Random fault schedules. Two workers of each kind receive random events twice, late and out of
//! order. They crash at any await, and DynamoDB, SQS and CloudFront fail in every way. Meanwhile a reader
//! asks read-api for pages, with and without `after`, and a cache keeps the answers. After the faults
//! stop and the queues are empty, the result is the same as if each event had arrived once, and no page
//! has hidden a change for longer than the policy promises.
//!
//! The suite plays 2,048 schedules from one seed. To play 100,000 from another one, run
//! `PROPTEST_RNG_SEED=7 PROPTEST_CASES=12500 cargo test --release -p tests --test it schedules`. It plays
//! eight times as many schedules as PROPTEST_CASES says.

mod aws;
mod cached_pages;
mod freshness;
mod interleavings;
mod lists;
mod oracle;
mod play;
mod reader;
mod schedule;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use play::play;
use schedule::{PlantedBug, Schedule, schedules, schedules_of_one_user};

/// Plays and checks one schedule in a runtime whose time is paused.
fn holds(schedule: &Schedule, bug: PlantedBug) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let result = runtime.unwrap().block_on(async {
        let world = play(schedule, bug).await?;
        oracle::check(schedule, &world).await
    });
    result.map_err(TestCaseError::fail)
}

fn run(config: Config, bug: PlantedBug) -> Result<(), Box<TestError<Schedule>>> {
    let _silence = tests::log::disable();
    let strategy =
        if BUGS_OF_OWN_WRITES.contains(&bug) { schedules_of_one_user().boxed() } else { schedules().boxed() };
    TestRunner::new(config).run(&strategy, |schedule| holds(&schedule, bug)).map_err(Box::new)
}

/// proptest's configuration, with the suite's seed unless PROPTEST_RNG_SEED is set.
fn config() -> Config {
    let default = Config::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        given => given,
    };
    Config { rng_seed, failure_persistence: None, ..default }
}

const PLANTED_BUGS: [PlantedBug; 20] = [
    PlantedBug::AttemptNotStored,
    PlantedBug::AttemptCounted,
    PlantedBug::NoConditionOnMarkers,
    PlantedBug::NoticeBeforeCommit,
    PlantedBug::FailureNotReported,
    PlantedBug::NoNoticeForDuplicates,
    PlantedBug::MarkInTheFuture,
    PlantedBug::TokenValidityTooShort,
    PlantedBug::NoConsistentReads,
    PlantedBug::NotBookedInLedger,
    PlantedBug::ClaimNotKept,
    PlantedBug::IntervalNotKept,
    PlantedBug::WaitingChangeDropped,
    PlantedBug::ClaimBelieved,
    PlantedBug::SuspensionNotFound,
    PlantedBug::EntriesPutAfterCommit,
    PlantedBug::NotificationsNotRead,
    PlantedBug::NoConditionOnNotifications,
    PlantedBug::MarkerOfAnyUser,
    PlantedBug::AddressNotRecorded,
];

/// Bugs of the rule for own writes.
const BUGS_OF_OWN_WRITES: [PlantedBug; 2] =
    [PlantedBug::MarkerVersionIgnored, PlantedBug::PendingAnswerStored];

#[test]
fn faults_and_crashes_do_not_change_the_result() {
    let config = Config { cases: 8 * config().cases, ..config() };
    let (seed, cases) = (config.rng_seed, config.cases);
    if let Err(error) = run(config, PlantedBug::None) {
        panic!("with the seed {seed:?}: {error}");
    }
    eprintln!("{cases} schedules from the seed {seed:?}");
}

/// Proves that the schedules find bugs: each planted bug fails within 1,000 schedules.
#[test]
fn planted_bugs_are_found_and_shrunk() {
    find(&PLANTED_BUGS);
}

#[test]
fn planted_bugs_of_own_writes_are_found_and_shrunk() {
    find(&BUGS_OF_OWN_WRITES);
}

fn find(bugs: &[PlantedBug]) {
    for bug in bugs.iter().copied() {
        let config = Config { cases: 1_000, max_shrink_iters: 1_500, ..config() };
        match run(config, bug).map_err(|error| *error) {
            Err(TestError::Fail(reason, schedule)) => {
                let messages = schedule.specs.len();
                eprintln!("{bug:?}: {messages} messages, {} rounds: {reason}", schedule.rounds.len());
                assert!(messages <= 12, "shrunk: {schedule:?}");
            }
            other => panic!("{bug:?} was not found: {other:?}"),
        }
    }
}
