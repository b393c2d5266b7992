//! What follows from the parameters of a stack: values, conditions and rules. Pure.
//!
//! A value that depends on a resource, such as the URL of a queue, is known only after the
//! deployment. CloudFormation itself checks the patterns of parameters before it changes anything,
//! so they are not checked here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Template;

/// A template with a value for each parameter.
#[derive(Debug)]
pub struct Stack<'a> {
    template: &'a Template,
    values: BTreeMap<&'a str, String>,
}

impl<'a> Stack<'a> {
    /// Takes the given values, and the defaults for the others. Returns the problems too, each as one
    /// sentence that names the parameter: unknown names, missing values, and values that a list or a
    /// range does not allow.
    pub fn new(template: &'a Template, given: &BTreeMap<String, String>) -> (Self, Vec<String>) {
        let parameters = template.parameters();
        let mut problems: Vec<String> = given
            .keys()
            .filter(|name| !parameters.contains_key(*name))
            .map(|name| unknown(name, template))
            .collect();
        let mut values = BTreeMap::new();
        for (name, parameter) in parameters {
            match given.get(name).cloned().or_else(|| literal(&parameter["Default"])) {
                Some(value) => {
                    problems.extend(not_allowed(name, parameter, &value));
                    values.insert(name.as_str(), value);
                }
                None => problems.push(format!("{name}: is required and has no value. Add it to the file")),
            }
        }
        (Self { template, values }, problems)
    }

    /// The text of a value. `None` if it depends on a resource or on the account.
    pub fn text(&self, value: &Value) -> Option<String> {
        if let Some(text) = literal(value) {
            return Some(text);
        }
        if let Some(name) = value["Ref"].as_str() {
            return self.values.get(name).cloned();
        }
        if let Some([condition, then, other]) = arguments(value, "Fn::If") {
            let name = condition.as_str()?;
            return self.text(if self.condition(name)? { then } else { other });
        }
        if let Some([separator, Value::Array(parts)]) = arguments(value, "Fn::Join") {
            let parts: Option<Vec<String>> = parts.iter().map(|part| self.text(part)).collect();
            return Some(parts?.join(separator.as_str()?));
        }
        match &value["Fn::Sub"] {
            Value::String(text) => self.substitute(text, &Value::Null),
            Value::Array(parts) => self.substitute(parts.first()?.as_str()?, parts.get(1)?),
            _ => None,
        }
    }

    /// Replaces `${Name}` by the value of a parameter or of `names`.
    fn substitute(&self, text: &str, names: &Value) -> Option<String> {
        let mut parts = text.split("${");
        let mut result = parts.next()?.to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}')?;
            match names.get(name) {
                Some(value) => result += &self.text(value)?,
                None => result += self.values.get(name)?,
            }
            result += rest;
        }
        Some(result)
    }

    /// The items of a list, or of a parameter with the type CommaDelimitedList.
    fn list(&self, value: &Value) -> Option<Vec<String>> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.text(item)).collect(),
            _ => Some(self.text(value)?.split(',').map(|item| item.trim().to_owned()).collect()),
        }
    }

    /// A condition by its name. `None` if it cannot be evaluated.
    pub fn condition(&self, name: &str) -> Option<bool> {
        self.holds(self.template.section("Conditions").get(name)?)
    }

    /// True if the stack has a resource of the template, as far as its condition can be evaluated.
    pub fn creates(&self, resource: &str) -> bool {
        let condition = self.template.section("Resources")[resource]["Condition"].as_str();
        condition.and_then(|name| self.condition(name)).unwrap_or(true)
    }

    fn holds(&self, condition: &Value) -> Option<bool> {
        if let Some(name) = condition["Condition"].as_str() {
            return self.condition(name);
        }
        if let Some([left, right]) = arguments(condition, "Fn::Equals") {
            return Some(self.text(left)? == self.text(right)?);
        }
        if let Some([inner]) = arguments(condition, "Fn::Not") {
            return self.holds(inner).map(|holds| !holds);
        }
        if let Some([list, value]) = arguments(condition, "Fn::Contains") {
            return Some(self.list(list)?.contains(&self.text(value)?));
        }
        let all = |function: &str| -> Option<Vec<bool>> {
            condition[function].as_array()?.iter().map(|inner| self.holds(inner)).collect()
        };
        if let Some(all) = all("Fn::And") {
            return Some(all.into_iter().all(|holds| holds));
        }
        all("Fn::Or").map(|any| any.into_iter().any(|holds| holds))
    }

    /// The rules that the parameters break, each with its description. Rules that use functions other
    /// than those of conditions are left out: CloudFormation checks all rules before it changes
    /// anything.
    pub fn broken_rules(&self) -> Vec<String> {
        let rules = self.template.section("Rules").as_object().into_iter().flatten();
        let applicable = rules.filter(|(_, rule)| match &rule["RuleCondition"] {
            Value::Null => true,
            condition => self.holds(condition) == Some(true),
        });
        let assertions = applicable.flat_map(|(name, rule)| {
            rule["Assertions"].as_array().into_iter().flatten().map(move |assertion| (name, assertion))
        });
        let broken = assertions.filter(|(_, assertion)| self.holds(&assertion["Assert"]) == Some(false));
        broken
            .map(|(name, assertion)| {
                format!("rule {name}: {}", assertion["AssertDescription"].as_str().unwrap_or_default())
            })
            .collect()
    }

    /// The parameters that decide a value, directly or through a condition.
    pub fn parameters_of(&self, value: &Value) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        self.collect_parameters(value, &mut found);
        found
    }

    fn collect_parameters(&self, value: &Value, found: &mut BTreeSet<&'a str>) {
        let mut note = |name: &str| {
            found.extend(self.template.parameters().get_key_value(name).map(|(name, _)| name.as_str()))
        };
        match value {
            Value::Object(fields) => {
                if let Some(name) = value["Ref"].as_str() {
                    note(name);
                }
                if let Some(name) = value["Condition"].as_str() {
                    self.collect_parameters(&self.template.section("Conditions")[name], found);
                }
                if let Some([Value::String(name), ..]) = value["Fn::If"].as_array().map(Vec::as_slice) {
                    self.collect_parameters(&self.template.section("Conditions")[name], found);
                }
                fields.values().for_each(|field| self.collect_parameters(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect_parameters(item, found)),
            Value::String(text) => text
                .split("${")
                .skip(1)
                .filter_map(|part| part.split_once('}'))
                .for_each(|(name, _)| note(name)),
            _ => {}
        }
    }
}

/// The text of a value without functions.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The arguments of a function, if it is this function with this number of arguments.
fn arguments<'v, const N: usize>(value: &'v Value, function: &str) -> Option<&'v [Value; N]> {
    value[function].as_array()?.as_slice().try_into().ok()
}

fn not_allowed(name: &str, parameter: &Value, value: &str) -> Option<String> {
    if let Some(allowed) = parameter["AllowedValues"].as_array() {
        let allowed: Vec<String> = allowed.iter().filter_map(literal).collect();
        if !allowed.iter().any(|allowed| allowed == value) {
            return Some(format!("{name}: \"{value}\" is not one of: {}", allowed.join(", ")));
        }
    }
    if parameter["Type"] != "Number" {
        return None;
    }
    let (from, to) = (parameter["MinValue"].as_f64(), parameter["MaxValue"].as_f64());
    let Ok(number) = value.parse::<f64>() else {
        return Some(format!("{name}: \"{value}\" is not a number"));
    };
    if from.is_some_and(|from| number < from) || to.is_some_and(|to| number > to) {
        let bound = |bound: &Value| literal(bound).unwrap_or_else(|| "any".to_owned());
        let (from, to) = (bound(&parameter["MinValue"]), bound(&parameter["MaxValue"]));
        return Some(format!("{name}: {value} is not a number from {from} to {to}"));
    }
    None
}

fn unknown(name: &str, template: &Template) -> String {
    let similar = template.parameters().keys().map(|known| (distance(name, known), known)).min();
    match similar.filter(|(distance, known)| *distance * 3 <= known.chars().count()) {
        Some((_, known)) => format!("{name}: the template has no such parameter. Did you mean {known}?"),
        None => format!("{name}: the template has no such parameter. Remove it"),
    }
}

/// The number of characters to insert, remove or replace, upper and lower case being equal.
fn distance(left: &str, right: &str) -> usize {
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
    let (left, right) = (lower(left), lower(right));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.iter().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(character != other);
            diagonal = *cell;
            before = replaced.min(diagonal + 1).min(before + 1);
            *cell = before;
        }
        row[0] = index + 1;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEMPLATE: &str = r#"
Parameters:
  Name: { Type: String }
  Flag: { Type: String, Default: "false", AllowedValues: ["true", "false"] }
  Days: { Type: Number, Default: 30, MinValue: 1, MaxValue: 90 }
  Flows: { Type: CommaDelimitedList, Default: "SRP, REFRESH" }
Rules:
  FlowsNeedFlag:
    RuleCondition: !Contains [!Ref Flows, PASSWORD]
    Assertions: [{ Assert: !Contains [["true", "yes"], !Ref Flag], AssertDescription: PASSWORD needs Flag. }]
  FlagNeedsDays:
    RuleCondition: !Equals [!Ref Flag, "true"]
    Assertions:
      - Assert: !And [!Not [!Equals [!Ref Days, "30"]], !Or [!Equals [1, 1], !Equals [1, 2]]]
        AssertDescription: Flag needs Days.
  NotEvaluated:
    Assertions: [{ Assert: !EachMemberIn [[a], [b]], AssertDescription: no }]
Conditions:
  FlagIsSet: !Equals [!Ref Flag, "true"]
Resources:
  Queue: { Type: "AWS::SQS::Queue" }
  Topic: { Type: "AWS::SNS::Topic", Condition: FlagIsSet }
"#;

    fn given(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn problems_name_the_parameter_and_a_similar_one() {
        let template = Template::parse(TEMPLATE).unwrap();
        for (values, expected) in [
            (&[("Name", "x")][..], &[][..]),
            (&[], &["Name: is required and has no value. Add it to the file"]),
            (
                &[("Name", "x"), ("flags", "y")],
                &["flags: the template has no such parameter. Did you mean Flag?"],
            ),
            (
                &[("Name", "x"), ("Unrelated", "y")],
                &["Unrelated: the template has no such parameter. Remove it"],
            ),
            (&[("Name", "x"), ("Flag", "yes")], &["Flag: \"yes\" is not one of: true, false"]),
            (&[("Name", "x"), ("Days", "0")], &["Days: 0 is not a number from 1 to 90"]),
            (&[("Name", "x"), ("Days", "a")], &["Days: \"a\" is not a number"]),
        ] {
            assert_eq!(Stack::new(&template, &given(values)).1, expected, "{values:?}");
        }
    }

    #[test]
    fn values_follow_from_parameters_and_conditions() {
        let template = Template::parse(TEMPLATE).unwrap();
        let (stack, _) = Stack::new(&template, &given(&[("Name", "shop"), ("Flag", "true")]));
        let sub = json!({"Fn::Sub": ["${Name}-${X}", {"X": {"Ref": "Days"}}]});
        for (value, text) in [
            (json!({"Ref": "Days"}), Some("30")),
            (json!({"Ref": "Queue"}), None),
            (json!({"Fn::If": ["FlagIsSet", {"Ref": "Name"}, {"Ref": "Queue"}]}), Some("shop")),
            (json!({"Fn::Sub": "a-${Name}"}), Some("a-shop")),
            (json!({"Fn::Sub": "a-${Queue}"}), None),
            (sub, Some("shop-30")),
            (json!({"Fn::Join": [",", ["a", {"Ref": "Name"}]]}), Some("a,shop")),
            (json!({"Fn::GetAtt": "Queue.Arn"}), None),
        ] {
            assert_eq!(stack.text(&value).as_deref(), text, "{value}");
        }
        let parameters = stack.parameters_of(&json!({"Fn::If": ["FlagIsSet", {"Fn::Sub": "${Name}"}, "b"]}));
        assert_eq!(parameters, ["Flag", "Name"].into());
    }

    #[test]
    fn condition_decides_if_the_stack_has_a_resource() {
        let template = Template::parse(TEMPLATE).unwrap();
        for (flag, expected) in [("false", [true, false]), ("true", [true, true])] {
            let (stack, _) = Stack::new(&template, &given(&[("Name", "x"), ("Flag", flag)]));
            assert_eq!(["Queue", "Topic"].map(|resource| stack.creates(resource)), expected, "{flag}");
        }
    }

    #[test]
    fn broken_rules_have_their_description() {
        let template = Template::parse(TEMPLATE).unwrap();
        let rules = |values: &[(&str, &str)]| Stack::new(&template, &given(values)).0.broken_rules();
        assert_eq!(rules(&[("Flag", "true")]), ["rule FlagNeedsDays: Flag needs Days."]);
        assert_eq!(rules(&[("Flag", "true"), ("Days", "31")]), [] as [&str; 0]);
        let flows = ("Flows", "SRP,PASSWORD");
        assert_eq!(rules(&[flows]), ["rule FlowsNeedFlag: PASSWORD needs Flag."]);
        assert_eq!(rules(&[flows, ("Flag", "true"), ("Days", "31")]), [] as [&str; 0]);
        assert_eq!(rules(&[]), [] as [&str; 0]);
    }
}
