//! Schedules: random events, delivered twice, late and out of order to two workers at once, which die at any await,
//! while DynamoDB, SQS and CloudFront fail in every way. Once the faults stop and the queues are drained, everything
//! is as if each event had come once.
//!
//! The suite plays 2,048 schedules from one seed. For more: `PROPTEST_RNG_SEED=7 PROPTEST_CASES=25000 cargo test
//! --release -p tests --test it schedules` plays eight times that.

mod aws;
mod interleavings;
mod oracle;
mod play;
mod schedule;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use play::play;
use schedule::{Plant, Schedule, schedules};

/// Plays and checks one schedule, on a time of its own.
fn holds(schedule: &Schedule, plant: Plant) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let result = runtime.unwrap().block_on(async {
        let world = play(schedule, plant).await?;
        oracle::check(schedule, &world).await
    });
    result.map_err(TestCaseError::fail)
}

fn run(config: Config, plant: Plant) -> Result<(), Box<TestError<Schedule>>> {
    let _silence = tests::log::silence();
    TestRunner::new(config).run(&schedules(), |schedule| holds(&schedule, plant)).map_err(Box::new)
}

/// The suite's seed, where none is given.
fn config() -> Config {
    let default = Config::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        given => given,
    };
    Config { rng_seed, failure_persistence: None, ..default }
}

/// Every bug that is planted.
const PLANTS: [Plant; 9] = [
    Plant::NoMarkerCondition,
    Plant::NoticeBeforeCommit,
    Plant::ForgetsFailure,
    Plant::NoNoticeOfDuplicates,
    Plant::MarkOfLater,
    Plant::TokensLiveLonger,
    Plant::StaleReReads,
    Plant::ForgetsBooking,
    Plant::ForgetsClaim,
];

#[test]
fn whatever_fails_once_it_stops_everything_is_as_if_each_event_had_come_once() {
    let config = Config { cases: 8 * config().cases, ..config() };
    let (seed, cases) = (config.rng_seed, config.cases);
    if let Err(error) = run(config, Plant::Nothing) {
        panic!("with the seed {seed:?}: {error}");
    }
    eprintln!("{cases} schedules from the seed {seed:?}");
}

/// The harness finds bugs: each of those that are planted below the workers shows within 1,000 schedules.
#[test]
fn a_planted_bug_is_found_and_shrunk() {
    for plant in PLANTS {
        let config = Config { cases: 1_000, max_shrink_iters: 1_500, ..config() };
        match run(config, plant).map_err(|error| *error) {
            Err(TestError::Fail(reason, schedule)) => {
                let messages = schedule.specs.len();
                eprintln!("{plant:?}: {messages} messages, {} rounds: {reason}", schedule.rounds.len());
                assert!(messages <= 10, "shrunk: {schedule:?}");
            }
            other => panic!("{plant:?} was not found: {other:?}"),
        }
    }
}
