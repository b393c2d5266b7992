//! `replay import`, as it is typed, against an AWS on loopback.

use std::collections::BTreeMap;

use sandbox::aws::Fault;
use serde_json::{Value, json};
use shared::suspension::Suspension;
use shared::events::Confirmed;
use shared::store::Profile;

use super::shop::{Shop, order, shop};
use super::support::ANA;

const POOL: &str = "eu-central-1_EXAMPLE12";
/// When everybody in the embedded pool was created: 2026-01-01.
const CREATED_AT: u64 = 1_767_225_600_000;

/// A pool with Ana, and so many others, from `sub-000` on.
async fn shop_with_pool(others: usize) -> Shop {
    let shop = shop().await;
    let names: Vec<String> = (0..others).map(|number| format!("sub-{number:03}")).collect();
    let of_ana = BTreeMap::from([("sub", ANA), ("email", "ana@example.com"), ("email_verified", "true")]);
    let mut users = vec![(ANA, "CONFIRMED", of_ana)];
    users.extend(
        names.iter().map(|name| (name.as_str(), "CONFIRMED", BTreeMap::from([("sub", name.as_str())]))),
    );
    shop.account.http_client().put_users(POOL, &users).await;
    shop.account.faults.forget_calls();
    shop
}

/// Who has a profile, by sub.
async fn profiles(shop: &Shop) -> BTreeMap<String, Value> {
    let items = shop.account.items().await.unwrap().into_iter();
    let profiles =
        items.filter(|((_, sort_key), item)| sort_key == "PROFILE" && item.get("cognitoId").is_some());
    profiles.map(|((partition, _), item)| (partition.trim_start_matches("USER#").to_owned(), item)).collect()
}

/// How often the account was asked for this.
fn calls(shop: &Shop, operation: &str) -> usize {
    shop.account.faults.calls().iter().filter(|call| *call == operation).count()
}

async fn write_profile(shop: &Shop, sub: &str) {
    let confirmed = Confirmed { username: "before".into(), email: None, email_verified: false, name: None };
    let profile = Profile { sub: sub.into(), confirmed, created_at: shop.account.time.now() };
    shop.store().write_profile(&profile).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_pool_get_profiles_and_nobody_is_overwritten() {
    let shop = shop_with_pool(0).await;
    let attributes = |sub: &'static str| BTreeMap::from([("sub", sub), ("name", "Somebody")]);
    let users = [
        ("ben", "FORCE_CHANGE_PASSWORD", attributes("sub-of-ben")),
        ("carla", "EXTERNAL_PROVIDER", attributes("sub-of-carla")),
        ("dora", "RESET_REQUIRED", attributes("sub-of-dora")),
        ("emil", "CONFIRMED", attributes("sub-of-emil")),
        ("faye", "CONFIRMED", attributes("sub-of-faye")),
        ("gina", "UNCONFIRMED", attributes("sub-of-gina")),
        ("hugo", "COMPROMISED", attributes("sub-of-hugo")),
    ];
    shop.account.http_client().put_users(POOL, &users).await;
    write_profile(&shop, "sub-of-dora").await;
    let of_dora = shop.item("USER#sub-of-dora", "PROFILE").await;
    let at = "2026-03-01T00:00:00Z".parse().unwrap();
    let suspension = Suspension { reason: "spam".into(), until: None, by: "ben".into(), at };
    assert!(shop.store().write_suspension("sub-of-emil", &suspension).await.unwrap());
    shop.count([order("1", "sub-of-faye")]).await;
    let forget = ["user", "erase", "sub-of-faye", "--queue", "cache-invalidations", "--yes"];
    assert!(shop.run_on_table(&forget).await.0);

    let command = ["user", "import", "--user-pool", POOL];
    let before = shop.account.items().await.unwrap();
    let (success, shown, errors) = shop.run_on_table(&command).await;
    let expected = "      8  users on 1 page\n      4  profiles to be written\n      1  had a profile\n      1  \
                    left: erased\n      1  left: COMPROMISED\n      1  left: UNCONFIRMED\nNothing was written. With \
                    --yes it is.\n";
    assert!(success, "{errors}");
    assert_eq!(shown, expected);
    assert_eq!(shop.account.items().await.unwrap(), before);

    let (success, shown, errors) = shop.run_on_table(&[&command[..], &["--yes"]].concat()).await;
    assert!(success && shown.contains("      4  profiles written\n"), "{shown}{errors}");
    let written = profiles(&shop).await;
    let subs: Vec<&str> = written.keys().map(String::as_str).collect();
    assert_eq!(subs, [ANA, "sub-of-ben", "sub-of-carla", "sub-of-dora", "sub-of-emil"]);
    let expected = json!({
        "cognitoId": ANA, "username": ANA, "email": "ana@example.com", "isEmailVerified": true, "isBanned": false,
        "createdAt": CREATED_AT,
    });
    assert_eq!(written[ANA], expected);
    assert_eq!(
        (&written["sub-of-ben"]["username"], &written["sub-of-ben"]["name"]),
        (&json!("ben"), &json!("Somebody"))
    );
    assert_eq!(written["sub-of-dora"], of_dora, "what was there stays");
    let of_emil = &written["sub-of-emil"];
    assert_eq!((&of_emil["isBanned"], &of_emil["suspension"]["reason"]), (&json!(true), &json!("spam")));

    let (success, shown, _) = shop.run_on_table(&[&command[..], &["--yes"]].concat()).await;
    assert!(success && shown.contains("      0  profiles written\n      5  had a profile\n"), "{shown}");
    assert_eq!(profiles(&shop).await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_comes_in_between_is_counted_and_stays() {
    let shop = shop().await;
    let store = shop.store();
    write_profile(&shop, ANA).await;
    let before = profiles(&shop).await;
    let confirmed = Confirmed { username: "after".into(), email: None, email_verified: true, name: None };
    let profile = Profile { sub: ANA.into(), confirmed, created_at: shop.account.time.now() };
    assert!(!store.write_missing_profile(&profile).await.unwrap());
    assert_eq!(profiles(&shop).await, before);
    shop.account.faults.inject("UpdateItem", Fault::Error("TransactionConflictException"), 2);
    assert!(store.write_missing_profile(&Profile { sub: "ben".into(), ..profile }).await.unwrap());
    assert_eq!(profiles(&shop).await["ben"]["username"], "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_where_it_was_cut_off() {
    let shop = shop_with_pool(139).await;
    // The first page: Ana, whose sub begins with a digit, and 59 others. Nothing is written for them.
    write_profile(&shop, ANA).await;
    for number in 0..59 {
        write_profile(&shop, &format!("sub-{number:03}")).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("import.json");
    let path = file.to_str().unwrap();
    let command = ["user", "import", "--user-pool", POOL, "--rate", "50", "--checkpoint", path, "--yes"];
    let checkpoint = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();

    let (success, shown, errors) = shop.run_on_table(&command[..7]).await;
    assert!(success && shown.contains("140  users on 3 pages") && !file.exists(), "{shown}{errors}");

    shop.account.faults.inject("UpdateItem", Fault::Error("AccessDeniedException"), 1_000);
    let (success, _, errors) = shop.run_on_table(&command).await;
    assert!(!success && errors.contains("AccessDeniedException") && errors.lines().count() == 1, "{errors}");
    let cut_off = checkpoint();
    assert_eq!((&cut_off["userPoolId"], &cut_off["done"]), (&json!(POOL), &json!(false)));
    assert_eq!((&cut_off["counts"]["pages"], &cut_off["counts"]["hadProfile"]), (&json!(1), &json!(60)));
    assert_eq!(profiles(&shop).await.len(), 60);

    shop.account.faults.clear();
    shop.account.faults.forget_calls();
    let (success, shown, errors) = shop.run_on_table(&command).await;
    assert!(
        success && shown.starts_with("Going on after 60 users.\n    140  users on 3 pages\n"),
        "{shown}{errors}"
    );
    assert!(shown.contains("     80  profiles written\n     60  had a profile\n"), "{shown}");
    assert_eq!(calls(&shop, "ListUsers"), 2, "the second page and the third");
    assert_eq!(calls(&shop, "UpdateItem"), 80);
    assert_eq!(profiles(&shop).await.len(), 140);
    assert_eq!(checkpoint()["done"], true);

    shop.account.faults.forget_calls();
    let (success, shown, _) = shop.run_on_table(&command).await;
    assert!(success && shown.starts_with("Nothing is left to do"), "{shown}");
    assert_eq!(shop.account.faults.calls(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_no_faster_than_the_rate() {
    let shop = shop_with_pool(139).await;
    let start = std::time::Instant::now();
    let (success, shown, errors) = shop.run_on_table(&["user", "import", "--user-pool", POOL, "--rate", "2"]).await;
    assert!(success && shown.contains("140  users on 3 pages"), "{shown}{errors}");
    assert!(start.elapsed() >= std::time::Duration::from_secs(1), "two pauses of half a second");
}

/// It is told in one line, and nothing is written.
async fn refused(shop: &Shop, arguments: &[&str], expected: &str) {
    let (success, shown, errors) = shop.run_on_table(arguments).await;
    assert!(!success && errors.contains(expected), "{expected}: {shown}{errors}");
    assert!(errors.lines().count() == 1 && !errors.contains('@'), "{errors}");
    assert_eq!(profiles(shop).await.len(), 0, "{expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_one_line_and_nothing_is_done() {
    let shop = shop_with_pool(60).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("import.json");
    let path = file.to_str().unwrap();
    let command = ["user", "import", "--user-pool", POOL, "--rate", "50", "--checkpoint", path, "--yes"];
    let nobody = ["user", "import", "--user-pool", "eu-central-1_NOBODY", "--yes"];
    refused(&shop, &nobody, "there is no user pool eu-central-1_NOBODY").await;
    for (code, expected) in [
        ("NotAuthorizedException", "users could not be listed: NotAuthorizedException"),
        ("InvalidParameterException", "users could not be listed: InvalidParameterException"),
        ("TooManyRequestsException", "with a lower --rate"),
    ] {
        shop.account.faults.inject("ListUsers", Fault::Error(code), 9);
        refused(&shop, &command, expected).await;
        shop.account.faults.clear();
    }
    let written = |pool: &str, table: &str, token: &str| {
        let counts = json!({"pages": 1, "users": 60});
        let checkpoint = json!({"userPoolId": pool, "table": table, "paginationToken": token, "done": false, "counts": counts});
        std::fs::write(&file, checkpoint.to_string()).unwrap();
    };
    let table = sandbox::aws::TABLE;
    for (pool, its_table, token, expected) in [
        ("eu-central-1_OTHER", table, "after-a", "import.json: is about the user pool eu-central-1_OTHER"),
        (POOL, "another-table", "after-a", "import.json: is about the table another-table"),
        (POOL, table, "of-last-year", "import.json and begin anew: nothing is overwritten"),
    ] {
        written(pool, its_table, token);
        refused(&shop, &command, expected).await;
    }
    std::fs::write(&file, "lost").unwrap();
    refused(&shop, &command, "import.json: is no checkpoint of an import").await;
    for rate in ["0", "101", "-1", "many"] {
        let arguments = ["user", "import", "--user-pool", POOL, &format!("--rate={rate}")];
        let (success, _, errors) = shop.run_on_table(&arguments).await;
        assert!(!success && errors.contains("--rate"), "{errors}");
    }
}
