//! What the tokens of the user must have: the groups of GroupRules and the claims of TokenClaims. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aws_smithy_types::base64;
use serde::Deserialize;
use serde_json::{Map, Value};
use shared::config::Environment;
use shared::group_rules::matching::matching_rules;
use shared::group_rules::read_trusted;

use super::cognito::{Person, Tokens};
use crate::doctor::deployment::Deployment;
use crate::doctor::report::Outcome;
use crate::output::counted;

/// TokenClaims, as far as a token shows them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenClaims {
    id: Map<String, Value>,
    access: Map<String, Value>,
    scopes_to_add: Vec<String>,
    scopes_to_suppress: Vec<String>,
}

/// The claims of a token. `None` if it is not a JSON Web Token. The signature is not checked: the token comes
/// from Cognito itself.
pub fn claims(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?;
    let mut standard = payload.replace('-', "+").replace('_', "/");
    while standard.len() % 4 != 0 {
        standard.push('=');
    }
    serde_json::from_slice(&base64::decode(standard).ok()?).ok()
}

/// `token`.
pub fn check(deployment: &Deployment, person: &Person, tokens: &Tokens) -> Outcome {
    let (Some(access), Some(id)) = (claims(&tokens.access), claims(&tokens.id)) else {
        return Outcome::failed("Cognito returned something that is not a JSON Web Token");
    };
    let rules = ["GroupRules", "TrustedAttributes", "AdminGroups"]
        .map(|name| deployment.parameter(name).unwrap_or_default());
    let [rules, trusted, admins] = rules;
    let environment: Environment =
        [("GROUP_RULES", rules), ("TRUSTED_ATTRIBUTES", trusted), ("ADMIN_GROUPS", admins)]
            .into_iter()
            .collect();
    let rules = match read_trusted(&environment) {
        Ok(rules) => rules,
        Err(error) => return Outcome::failed(error.to_string()),
    };
    let is_verified =
        id.get("email_verified").is_some_and(|verified| *verified == true || verified == "true");
    let attribute = |name: &str| match name {
        "sub" => Some(Cow::Borrowed(person.sub.as_str())),
        "email" => Some(Cow::Borrowed(person.email.as_str())),
        "email_verified" => Some(Cow::Borrowed(if is_verified { "true" } else { "false" })),
        _ => None,
    };
    let matching = matching_rules(&rules, attribute);
    let expected: BTreeSet<&str> = matching.iter().map(|rule| rule.group.as_str()).collect();
    // With V1_0, the trigger changes the access token's groups only through the ID token's.
    let is_first_version = deployment.parameter("PreTokenGenerationVersion") == Some("V1_0");
    let mut problems = Vec::new();
    for (name, claims) in [("ID token", &id), ("access token", &access)] {
        let actual = groups(claims);
        if actual != expected {
            problems.push(format!("the {name} has {}, not {}", list(&actual), list(&expected)));
        }
    }
    let configured = deployment.parameter("TokenClaims").filter(|_| !is_first_version);
    let configured: TokenClaims = match configured.map(serde_json::from_str).transpose() {
        Ok(claims) => claims.unwrap_or_default(),
        Err(_) => return Outcome::failed("TokenClaims is not valid JSON"),
    };
    for (name, claims, wanted) in
        [("ID token", &id, &configured.id), ("access token", &access, &configured.access)]
    {
        let missing = wanted.iter().filter(|(claim, value)| claims.get(*claim) != Some(value));
        problems
            .extend(missing.map(|(claim, _)| format!("the {name} lacks the claim {claim} of TokenClaims")));
    }
    let scopes: Vec<&str> =
        access.get("scope").and_then(Value::as_str).unwrap_or_default().split(' ').collect();
    let has = |scope: &&String| scopes.contains(&scope.as_str());
    let missing = configured.scopes_to_add.iter().filter(|scope| !has(scope));
    problems.extend(missing.map(|scope| format!("the access token lacks the scope {scope}")));
    problems.extend(
        configured
            .scopes_to_suppress
            .iter()
            .filter(has)
            .map(|scope| format!("the access token has the scope {scope}")),
    );
    let claims = configured.id.len() + configured.access.len();
    Outcome::of_problems(&problems, format!("{}, {}", list(&expected), counted(claims, "claim")))
}

fn groups(claims: &Map<String, Value>) -> BTreeSet<&str> {
    let groups = claims.get("cognito:groups").and_then(Value::as_array);
    groups.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn list(groups: &BTreeSet<&str>) -> String {
    match groups.is_empty() {
        true => "no group".to_owned(),
        false => groups.iter().copied().collect::<Vec<_>>().join(" and "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: &str = r#"[{"always": true, "group": "Everyone"},
        {"attribute": "custom:department", "equals": "Board", "group": "Board"}]"#;
    const CLAIMS: &str = r#"{"id": {"plan": "free"}, "access": {"tenant": "example"}, "scopes_to_add": ["orders"],
        "scopes_to_suppress": ["aws.cognito.signin.user.admin"]}"#;

    fn token(claims: &Value) -> String {
        let payload = base64::encode(claims.to_string()).replace('+', "-").replace('/', "_").replace('=', "");
        format!("e30.{payload}.c2ln")
    }

    fn outcome(id: &Value, access: &Value) -> Outcome {
        let deployment = Deployment::of(&[("GroupRules", RULES), ("TokenClaims", CLAIMS)], &[]);
        let person = Person {
            sub: "7d8ca528".to_owned(),
            username: "ana".to_owned(),
            email: "ana@example.com".to_owned(),
            password: String::new(),
        };
        check(&deployment, &person, &Tokens { access: token(access), id: token(id), ..Tokens::default() })
    }

    #[test]
    fn tokens_must_have_the_groups_claims_and_scopes_of_the_parameters() {
        let id = json!({"cognito:groups": ["Everyone"], "plan": "free", "text": "ÿÿÿ?>"});
        let access = json!({"cognito:groups": ["Everyone"], "tenant": "example", "scope": "openid orders"});
        assert_eq!(outcome(&id, &access), Outcome::ok("Everyone, 2 claims"));
        let with = |token: &Value, name: &str, value: Value| {
            let mut token = token.clone();
            token[name] = value;
            token
        };
        for (id, access, expected) in [
            (
                with(&id, "cognito:groups", json!([])),
                access.clone(),
                "the ID token has no group, not Everyone",
            ),
            (
                id.clone(),
                with(&access, "cognito:groups", json!(["Board", "Everyone"])),
                "the access token has Board and Everyone, not Everyone",
            ),
            (with(&id, "plan", json!("paid")), access.clone(), "the ID token lacks the claim plan"),
            (id.clone(), with(&access, "tenant", Value::Null), "the access token lacks the claim tenant"),
            (id.clone(), with(&access, "scope", json!("openid")), "the access token lacks the scope orders"),
            (
                id.clone(),
                with(&access, "scope", json!("orders aws.cognito.signin.user.admin")),
                "the access token has the scope aws.cognito.signin.user.admin",
            ),
        ] {
            let outcome = outcome(&id, &access);
            assert!(!outcome.is_ok() && outcome.text.contains(expected), "{expected}: {outcome:?}");
        }
    }

    #[test]
    fn opaque_token_is_a_failure() {
        assert_eq!(claims("abc"), None);
        assert_eq!(claims("a.%.c"), None);
    }
}
