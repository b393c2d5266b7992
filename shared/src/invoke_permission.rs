//! The rule by which a function's resource-based policy, as Lambda's GetPolicy returns it, lets a user
//! pool invoke the function. Pure.
//!
//! Without this permission, Cognito answers every call that needs the trigger with an error: no user
//! can sign in.

use serde_json::Value;

const COGNITO: &str = "cognito-idp.amazonaws.com";
const INVOKE: &str = "lambda:InvokeFunction";

/// A user pool as the caller of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserPoolArn<'a>(&'a str);

impl<'a> UserPoolArn<'a> {
    /// `None` if the text is not `arn:{partition}:cognito-idp:{region}:{account}:userpool/{id}`.
    pub fn parse(arn: &'a str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, _, "cognito-idp", region, account, resource] = parts[..] else { return None };
        let has_id = resource.strip_prefix("userpool/").is_some_and(|id| !id.is_empty());
        (arn.starts_with("arn:") && !region.is_empty() && !account.is_empty() && has_id).then_some(Self(arn))
    }

    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The id of the pool: `eu-central-1_EXAMPLE12`.
    pub fn id(self) -> &'a str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    fn account(self) -> &'a str {
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

/// True if `policy` lets Cognito invoke the function for `user_pool`. `policy` is the text of the field
/// `Policy` of GetPolicy. For a qualified ARN, it is the policy of that qualifier.
///
/// A condition that this function does not know never counts as met for an `Allow`, and always for a
/// `Deny`. So the answer true is certain. A policy that is not JSON allows nothing.
pub fn may_invoke(policy: &str, user_pool: UserPoolArn<'_>) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return false };
    let statements = one_or_many(&policy["Statement"]);
    let applies = |effect: &str, unknown_condition: bool| {
        statements.iter().any(|statement| {
            statement["Effect"] == effect
                && is_for_cognito(&statement["Principal"])
                && texts(&statement["Action"])
                    .any(|action| matches(&action.to_lowercase(), &INVOKE.to_lowercase()))
                && are_met(&statement["Condition"], user_pool, unknown_condition)
        })
    };
    applies("Allow", false) && !applies("Deny", true)
}

fn is_for_cognito(principal: &Value) -> bool {
    principal == "*" || principal["AWS"] == "*" || texts(&principal["Service"]).any(|name| name == COGNITO)
}

/// True if all conditions are met. `unknown` is the result of a condition that is not known.
fn are_met(conditions: &Value, user_pool: UserPoolArn<'_>, unknown: bool) -> bool {
    let Some(operators) = conditions.as_object() else { return conditions.is_null() || unknown };
    operators.iter().all(|(operator, keys)| {
        let Some(keys) = keys.as_object() else { return unknown };
        keys.iter().all(|(key, expected)| {
            let actual = match key.to_lowercase().as_str() {
                "aws:sourcearn" => user_pool.as_str(),
                "aws:sourceaccount" => user_pool.account(),
                _ => return unknown,
            };
            let holds: fn(&str, &str) -> bool = match operator.as_str() {
                "StringEquals" => |expected, actual| expected == actual,
                "StringEqualsIgnoreCase" => |expected, actual| expected.eq_ignore_ascii_case(actual),
                "StringLike" => matches,
                "ArnEquals" | "ArnLike" => arn_matches,
                _ => return unknown,
            };
            texts(expected).any(|expected| holds(expected, actual))
        })
    })
}

/// IAM accepts a single value in place of a list.
fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    one_or_many(value).iter().filter_map(Value::as_str)
}

/// IAM compares each of the six parts of an ARN separately, so that an asterisk does not reach across
/// a colon before the last part.
fn arn_matches(pattern: &str, arn: &str) -> bool {
    let (patterns, parts): (Vec<_>, Vec<_>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    patterns.len() == parts.len() && patterns.iter().zip(parts).all(|(pattern, part)| matches(pattern, part))
}

/// True if `text` matches `pattern`, in which `*` is any text and `?` any character.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern.trim_start_matches('*');
            let starts = text.char_indices().map(|(start, _)| start).chain([text.len()]);
            starts.into_iter().any(|start| matches(rest, &text[start..]))
        }
        Some(first) => {
            let mut characters = text.chars();
            characters.next().is_some_and(|character| first == '?' || first == character)
                && matches(&pattern[first.len_utf8()..], characters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POOL: &str = "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_EXAMPLE12";
    const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:shop-pre-sign-up";

    /// The statement that template.yaml's permission becomes, with the fields of `patch`.
    fn statement(patch: Value) -> Value {
        let mut statement = json!({
            "Sid": "shop-PreSignUpPermission-1",
            "Effect": "Allow",
            "Principal": {"Service": COGNITO},
            "Action": INVOKE,
            "Resource": FUNCTION,
            "Condition": {"StringEquals": {"AWS:SourceAccount": "123456789012"}, "ArnLike": {"AWS:SourceArn": POOL}},
        });
        for (name, value) in patch.as_object().unwrap().clone() {
            statement[name] = value;
        }
        statement
    }

    fn allows(statements: Value) -> bool {
        let policy = json!({"Version": "2012-10-17", "Id": "default", "Statement": statements});
        may_invoke(&policy.to_string(), UserPoolArn::parse(POOL).unwrap())
    }

    #[test]
    fn statement_decides_by_principal_action_and_condition() {
        let like = |arn: &str| json!({"Condition": {"ArnLike": {"AWS:SourceArn": arn}}});
        let equals = |arn: &str| json!({"Condition": {"StringEquals": {"aws:SourceArn": arn}}});
        let other_pool = POOL.replace("EXAMPLE12", "EXAMPLE34");
        let any_pool = POOL.replace("eu-central-1_EXAMPLE12", "*");
        for (patch, expected) in [
            (json!({}), true),
            (json!({"Condition": null}), true),
            (json!({"Principal": "*"}), true),
            (json!({"Principal": {"AWS": "*"}}), true),
            (json!({"Principal": {"Service": ["sns.amazonaws.com", COGNITO]}}), true),
            (json!({"Principal": {"Service": "sns.amazonaws.com"}}), false),
            (json!({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}), false),
            (json!({"Action": "lambda:*"}), true),
            (json!({"Action": ["lambda:GetFunction", "lambda:invokefunction"]}), true),
            (json!({"Action": "lambda:InvokeFunctionUrl"}), false),
            (json!({"Effect": "Deny"}), false),
            (like(&any_pool), true),
            (like("arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_EXAMPLE1?"), true),
            (like(&other_pool), false),
            (like("arn:aws:cognito-idp:*:userpool/eu-central-1_EXAMPLE12"), false),
            (equals(&any_pool), false),
            (equals(POOL), true),
            (json!({"Condition": {"StringEquals": {"aws:SourceArn": [other_pool, POOL]}}}), true),
            (json!({"Condition": {"StringLike": {"aws:SourceArn": "*EXAMPLE12"}}}), true),
            (json!({"Condition": {"StringEquals": {"AWS:SourceAccount": "000000000000"}}}), false),
            (json!({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}), false),
            (json!({"Condition": {"StringNotEquals": {"aws:SourceArn": other_pool}}}), false),
        ] {
            assert_eq!(allows(json!([statement(patch.clone())])), expected, "{patch}");
            assert_eq!(allows(statement(patch.clone())), expected, "a single statement: {patch}");
        }
    }

    #[test]
    fn one_statement_is_enough_unless_another_one_denies() {
        let other = statement(json!({"Principal": {"Service": "sns.amazonaws.com"}}));
        assert!(allows(json!([other, statement(json!({}))])));
        let denies = |condition: Value| {
            let deny = statement(json!({"Effect": "Deny", "Principal": "*", "Condition": condition}));
            !allows(json!([statement(json!({})), deny]))
        };
        assert!(denies(Value::Null));
        assert!(
            denies(json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
            "a condition that is not known"
        );
        assert!(!denies(json!({"StringEquals": {"AWS:SourceAccount": "000000000000"}})));
    }

    #[test]
    fn policy_that_is_none_allows_nothing() {
        let pool = UserPoolArn::parse(POOL).unwrap();
        for policy in ["", "{", "[]", "{}", "null", r#"{"Statement": []}"#, r#"{"Statement": "Allow"}"#] {
            assert!(!may_invoke(policy, pool), "{policy}");
        }
    }

    #[test]
    fn only_the_arn_of_a_user_pool_is_one() {
        let pool = UserPoolArn::parse(POOL).unwrap();
        assert_eq!((pool.id(), pool.account()), ("eu-central-1_EXAMPLE12", "123456789012"));
        for text in ["", "eu-central-1_EXAMPLE12", FUNCTION, &POOL.replace("eu-central-1_EXAMPLE12", "")] {
            assert_eq!(UserPoolArn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn asterisk_matches_any_text_and_question_mark_one_character() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "ab", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("**c", "c", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxayyb", true),
            ("*a*b*", "xxbyya", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
