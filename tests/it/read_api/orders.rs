//! Pages of orders.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use sandbox::aws::TABLE;
use serde_json::{Value, json};

use super::{ANA, BEN, calls, get, problem, put_ana};
use crate::support::{TestStack, batch, order, test_stack};

/// All pages of a user's orders: the order ids of each page.
async fn pages(stack: &TestStack, sub: &str, limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut before) = (Vec::new(), String::new());
    loop {
        let answer = get(sub, &format!("/api/orders?limit={limit}{before}")).to(stack).await;
        assert_eq!(calls(stack), ["BatchGetItem", "Query"], "one call for the page, whatever its number");
        assert!(answer.text.len() < 16 * 1024, "{} bytes", answer.text.len());
        let page = answer.json();
        let orders = page["orders"].as_array().unwrap();
        assert!(orders.len() <= limit, "{page}");
        pages.push(orders.iter().map(|order| order["orderId"].as_str().unwrap().to_owned()).collect());
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return pages,
        }
        assert!(pages.len() < 1_000, "the pages do not end");
    }
}

#[tokio::test]
async fn pages_together_are_all_orders_newest_first() {
    let stack = test_stack().await;
    let orders: Vec<Value> = (0..23)
        .map(|index| {
            let mut order = order(&format!("o-{index:02}"), ANA, "1.00");
            // Three at the same time each.
            order["time"] = format!("2026-03-02T08:{:02}:00Z", index / 3).into();
            order
        })
        .collect();
    stack.user_stats(&[]).handle_twice(&batch(&orders)).await;
    stack.user_stats(&[]).handle_twice(&batch(&[order("other", BEN, "1.00")])).await;
    stack.account.calls.clear_operations();
    for limit in [1, 4, 5, 22, 23, 24, 50] {
        let pages = pages(&stack, ANA, limit).await;
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "{limit}: {pages:?}");
        assert!(pages.len() == 1 || !pages.last().unwrap().is_empty(), "no empty page at the end");
        let ids: Vec<String> = pages.concat();
        let minutes: Vec<usize> = ids.iter().map(|id| id[2..].parse::<usize>().unwrap() / 3).collect();
        assert!(minutes.is_sorted_by(|newer, older| newer >= older), "{limit}: {ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 23, "{limit}: {ids:?}");
    }
}

/// The items that user-stats would have written.
async fn put_orders(stack: &TestStack, sub: &str, count: usize) {
    let now = stack.account.time.now().as_millisecond();
    let client = stack.account.dynamodb();
    let orders: Vec<usize> = (0..count).collect();
    for chunk in orders.chunks(25) {
        let writes = chunk.iter().map(|index| {
            let at = now - i64::try_from(*index).unwrap();
            let mut item: shared::store::Item = serde_dynamo::to_item(json!({
                "at": at, "type": "order.placed", "orderId": format!("o-{index}"), "amount": "1.00",
                "currency": "EUR", "expiresAt": now / 1000 + 1_000,
            }))
            .unwrap();
            let key = [("PK", format!("USER#{sub}")), ("SK", format!("LIST#orders#{at}-{index:032x}"))];
            item.extend(key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value))));
            let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        client.batch_write_item().request_items(TABLE, writes.collect()).send().await.unwrap();
    }
    stack.account.calls.clear_operations();
}

#[tokio::test]
async fn all_pages_of_a_thousand_orders_are_complete_and_small() {
    let stack = test_stack().await;
    put_orders(&stack, ANA, 1_000).await;
    let pages = pages(&stack, ANA, 50).await;
    assert_eq!(pages.len(), 20);
    let expected: Vec<String> = (0..1_000).map(|index| format!("o-{index}")).collect();
    assert_eq!(pages.concat(), expected);
}

/// The account in memory needs seconds for all 200 pages, so some are read with the cursors that the
/// pages before them return.
#[tokio::test]
async fn user_with_10_000_orders_reads_any_page_in_one_query() {
    let stack = test_stack().await;
    put_orders(&stack, ANA, 10_000).await;
    let now = stack.account.time.now().as_millisecond();
    let cursor = |index: usize| format!("{}-{index:032x}", now - i64::try_from(index).unwrap());
    for page in [0, 1, 100, 198, 199] {
        let before = if page == 0 { String::new() } else { format!("&before={}", cursor(50 * page - 1)) };
        let answer = get(ANA, &format!("/api/orders?limit=50{before}")).to(&stack).await;
        assert_eq!(calls(&stack), ["BatchGetItem", "Query"], "{page}");
        assert!(answer.text.len() < 16 * 1024, "{page}: {} bytes", answer.text.len());
        let answer = answer.json();
        let ids: Vec<&str> = answer["orders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["orderId"].as_str().unwrap())
            .collect();
        let expected: Vec<String> = (50 * page..50 * (page + 1)).map(|index| format!("o-{index}")).collect();
        assert_eq!(ids, expected, "{page}");
        let next = (page < 199).then(|| cursor(50 * page + 49));
        assert_eq!(answer["next"].as_str(), next.as_deref(), "{page}");
    }
    // The dashboard does not read them.
    let dashboard = get(ANA, "/api/dashboard").to(&stack).await;
    assert_eq!(dashboard.status, 200);
    assert!(dashboard.text.len() < 1_024, "{}", dashboard.text.len());
}

#[tokio::test]
async fn cursor_of_another_user_returns_only_own_orders() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    let orders = [order("b-1", BEN, "1.00"), order("b-2", BEN, "2.00")];
    stack.user_stats(&[]).handle_twice(&batch(&orders)).await;
    let cursor = get(BEN, "/api/orders?limit=1").to(&stack).await.json()["next"].as_str().unwrap().to_owned();
    let answer = get(ANA, &format!("/api/orders?before={cursor}")).to(&stack).await;
    let ids: Vec<Value> =
        answer.json()["orders"].as_array().unwrap().iter().map(|order| order["orderId"].clone()).collect();
    // Ben's orders are of 09:00, so all of Ana's are before them.
    assert_eq!(ids, ["1002", "1002", "1001"]);
}

#[tokio::test]
async fn wrong_parameters_are_refused_without_a_call() {
    let stack = test_stack().await;
    for query in [
        "limit=0",
        "limit=-1",
        "limit=51",
        "limit=1000000000",
        "limit=",
        "limit",
        "limit=1.5",
        "limit=1&limit=1",
        "limit=%31&limit=1",
        "before=",
        "before=0",
        "before=LIST%23orders%230",
        "after=x",
        "Limit=1",
        "sub=x",
        "limit=1&utm_source=mail",
        "before=1772446500000-A6D1F2C09C1F5E0FB1F0C4D1E6F7A8B9",
        "before=1772446500000-a6d1f2c09c1f5e0fb1f0c4d1e6f7a8b%27",
        "limit=%ff",
        "%6cimit=0",
        "[]=1",
        "limit[]=1",
    ] {
        let answer = get(ANA, &format!("/api/orders?{query}")).to(&stack).await;
        assert_eq!(answer.problem(), problem(400, "invalid-query"), "{query}");
    }
    for path in ["dashboard", "profile", "config"] {
        let answer = get(ANA, &format!("/api/{path}?limit=1")).to(&stack).await;
        assert_eq!(answer.problem(), problem(400, "invalid-query"), "{path}");
    }
    assert_eq!(calls(&stack), [] as [&str; 0]);
}

#[tokio::test]
async fn expired_orders_are_left_out() {
    let stack = test_stack().await;
    put_orders(&stack, ANA, 3).await;
    stack.account.time.advance(2_000);
    let call = get(ANA, "/api/orders").claim("exp", "1800000000");
    assert_eq!(call.to(&stack).await.json(), json!({"orders": []}));
}
