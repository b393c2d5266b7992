//! The table of settings against the shapes of Cognito's API, and random user pools: no update of `replay`
//! resets a setting.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use replay::user_pool::settings::PoolSettings;
use replay::user_pool::settings_table::{MFA_CONFIG, Treatment, USER_POOL};
use serde_json::{Value, json};
use tests::shapes;
use tests::stack_account::{Function, UserPool, function_arn};

use super::attach::ExistingPool;

const POOL: &str = "eu-central-1_EXAMPLE12";
/// Random pools that are only computed, and those that the binary changes.
const COMPUTED: u64 = 3_000;
const CHANGED: u64 = 40;

/// The fields of the table with this treatment.
fn fields(table: &[(&str, Treatment)], is_wanted: impl Fn(Treatment) -> bool) -> BTreeSet<String> {
    table.iter().filter(|(_, treatment)| is_wanted(*treatment)).map(|(path, _)| (*path).to_owned()).collect()
}

fn set(paths: Vec<String>) -> BTreeSet<String> {
    paths.into_iter().collect()
}

#[test]
fn table_has_every_field_of_cognitos_answers_and_requests() {
    assert_eq!(fields(USER_POOL, |_| true), set(shapes::paths("UserPoolType")));
    let requested = |treatment| matches!(treatment, Treatment::Updatable | Treatment::Superseded(_));
    let mut of_request = set(shapes::paths("UpdateUserPoolRequest"));
    assert!(of_request.remove("UserPoolId"));
    for (path, treatment) in USER_POOL {
        match treatment {
            Treatment::Renamed(name) => assert!(of_request.remove(*name), "{path}"),
            Treatment::Superseded(newer) => assert!(of_request.contains(*newer), "{path}"),
            _ => {}
        }
    }
    assert_eq!(fields(USER_POOL, requested), of_request);
    assert_eq!(fields(MFA_CONFIG, |_| true), set(shapes::paths("GetUserPoolMfaConfigResponse")));
    let mut of_request = set(shapes::paths("SetUserPoolMfaConfigRequest"));
    assert!(of_request.remove("UserPoolId"));
    assert_eq!(fields(MFA_CONFIG, |treatment| treatment == Treatment::Updatable), of_request);
}

/// A random pool as Cognito could return it.
fn random_pool(seed: u64) -> UserPool {
    let mut rng = Rng::with_seed(seed);
    // From pools with few settings to those with all.
    let probability = [0.2, 0.6, 0.9, 1.0][rng.usize(0..4)];
    let mut pool = shapes::random("UserPoolType", probability, &mut rng);
    let mut mfa_config = shapes::random("GetUserPoolMfaConfigResponse", probability, &mut rng);
    pool["Id"] = POOL.into();
    pool["Arn"] = format!("arn:aws:cognito-idp:eu-central-1:123456789012:userpool/{POOL}").into();
    pool["LastModifiedDate"] = json!(1_772_442_000.125);
    // Cognito returns these for every pool.
    for field in ["Name", "MfaConfiguration", "Policies"] {
        if pool.get(field).is_none() {
            let shape = &shapes::shape("UserPoolType").members[field];
            pool[field] = shapes::random(shape, probability, &mut rng);
        }
    }
    if let Some(config) = pool
        .get_mut("AdminCreateUserConfig")
        .filter(|config| config.get("AllowAdminCreateUserOnly").is_none())
    {
        config["AllowAdminCreateUserOnly"] = rng.bool().into();
    }
    mfa_config["MfaConfiguration"] = pool["MfaConfiguration"].clone();
    if pool["UserPoolTier"] == "LITE" {
        pool["UserPoolTier"] = "PLUS".into();
    }
    if rng.bool() && pool.get("UserPoolTags").is_some() {
        pool["UserPoolTags"]["aws:servicecatalog:portfolioArn"] = "x".into();
    }
    // The function of pre-token-generation is in both fields, or only in the older one.
    if let Some(config) = pool.get_mut("LambdaConfig") {
        match config["PreTokenGenerationConfig"]["LambdaArn"].clone() {
            Value::Null => drop(config.as_object_mut().unwrap().remove("PreTokenGenerationConfig")),
            arn => config["PreTokenGeneration"] = arn,
        }
        if config.get("KMSKeyID").is_some() {
            config["KMSKeyID"] = "arn:aws:kms:eu-central-1:123456789012:key/1".into();
        }
    }
    UserPool { settings: pool, mfa_config, clients: BTreeMap::new() }
}

fn settings(pool: &UserPool) -> PoolSettings {
    PoolSettings { pool: pool.settings.clone(), mfa_config: pool.mfa_config.clone() }
}

#[test]
fn update_of_a_random_pool_resets_nothing() {
    let mut seen = BTreeSet::new();
    for seed in 0..COMPUTED {
        let before = random_pool(seed);
        assert_eq!(settings(&before).unknown_settings(), [""; 0], "seed {seed}");
        let mut after = before.clone();
        let request = settings(&before).update_request();
        assert!(after.update(&request).is_ok(), "seed {seed}: {request}");
        assert_eq!(settings(&before).differences(&settings(&after)), [], "seed {seed}");
        seen.extend(present(&before.settings));
    }
    // The pools together have every setting.
    let leaves: BTreeSet<String> = shapes::paths("UserPoolType").into_iter().collect();
    let missing: Vec<&String> =
        leaves.iter().filter(|path| !seen.contains(path.trim_end_matches(".*"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The paths of a value, in the notation of the table.
fn present(value: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        found.insert(path.to_owned());
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                    collect(value, &path, found);
                }
            }
            Value::Array(elements) if elements.iter().any(Value::is_object) => {
                elements.iter().for_each(|each| collect(each, &format!("{path}[]"), found));
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(value, "", &mut found);
    found
}

#[test]
fn request_that_lacks_a_setting_resets_it() {
    // The stand-in would find a loss: without any member of the request that the pool has, it differs.
    let mut losses = BTreeMap::new();
    for seed in 0..300 {
        let before = random_pool(seed);
        let request = settings(&before).update_request();
        for member in request
            .as_object()
            .unwrap()
            .keys()
            .filter(|member| *member != "UserPoolId" && *member != "PoolName")
        {
            let mut smaller = request.clone();
            smaller.as_object_mut().unwrap().remove(member);
            let mut after = before.clone();
            if after.update(&smaller).is_ok() {
                let differs = !settings(&before).differences(&settings(&after)).is_empty();
                *losses.entry(member.clone()).or_insert(0) += usize::from(differs);
            }
        }
    }
    let members = shapes::shape("UpdateUserPoolRequest").members.len() - 2;
    assert_eq!(losses.len(), members, "{losses:?}");
    assert!(losses.values().all(|losses| *losses > 0), "{losses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_pools_keep_every_setting_through_attach_and_detach() {
    let mut compared = 0;
    for seed in 0..CHANGED {
        let random = random_pool(seed);
        let existing = ExistingPool::with_pool(random.clone()).await;
        for name in 0..5 {
            existing.account.put_function(&format!("other-{name}"), Function::of_others("other", POOL));
        }
        let before = settings(&random);
        let attached =
            existing.replay(&["attach", "--replace-all", "--yes", "--backup", "b.json", "--json"]).await;
        assert_eq!(attached.code, 0, "seed {seed}: {attached:?}");
        let report: Value = serde_json::from_str(&attached.stdout).unwrap();
        compared += report["compared"].as_u64().unwrap();
        let differences = before.differences(&settings(&existing.account.user_pool()));
        assert!(differences.iter().all(|each| each.is_of_lambda_config()), "seed {seed}: {differences:?}");
        let pre_sign_up = function_arn("cognito-user-events-pre-sign-up");
        assert_eq!(existing.account.user_pool().settings["LambdaConfig"]["PreSignUp"], pre_sign_up.as_str());

        let restored =
            existing.replay(&["detach", "--restore", "b.json", "--yes", "--backup", "c.json"]).await;
        assert_eq!(restored.code, 0, "seed {seed}: {restored:?}");
        assert_eq!(before.differences(&settings(&existing.account.user_pool())), [], "seed {seed}");
    }
    println!("{CHANGED} random pools: {compared} settings compared after attach");
    assert!(compared > 40 * CHANGED);
}
