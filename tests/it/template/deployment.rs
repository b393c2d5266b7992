//! The template with values for its parameters: evaluates rules, conditions and intrinsic functions
//! as CloudFormation does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use xtask::template::Template;

pub struct Deployment {
    template: Template,
    parameters: BTreeMap<String, String>,
}

impl Deployment {
    /// A deployment with these parameters, and defaults for all others.
    pub fn with(values: &[(&str, &str)]) -> Self {
        let template = Template::read();
        let default = |parameter: &Value| match &parameter["Default"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let mut parameters: BTreeMap<String, String> =
            template.parameters().iter().map(|(name, value)| (name.clone(), default(value))).collect();
        for (name, value) in
            [("ProductName", "Example Shop"), ("ApiOriginDomainName", "api.example.com")].iter().chain(values)
        {
            let before = parameters.insert((*name).to_owned(), (*value).to_owned());
            assert!(before.is_some(), "{name} is not a parameter");
        }
        Self { template, parameters }
    }

    /// The descriptions of the rules that refuse these parameters.
    pub fn refusals(&self) -> Vec<String> {
        let rules = self.template.section("Rules").as_object().unwrap().values();
        let applied =
            rules.filter(|rule| rule["RuleCondition"].is_null() || self.holds(&rule["RuleCondition"]));
        let assertions = applied.flat_map(|rule| rule["Assertions"].as_array().unwrap());
        let failed = assertions.filter(|assertion| !self.holds(&assertion["Assert"]));
        failed.map(|assertion| assertion["AssertDescription"].as_str().unwrap().to_owned()).collect()
    }

    /// The properties of a resource, or `None` if its condition is false.
    pub fn properties(&self, resource: &str) -> Option<Value> {
        let resource = &self.template.section("Resources")[resource];
        assert!(resource.is_object(), "no such resource");
        let exists = resource["Condition"].as_str().is_none_or(|name| self.condition(name));
        exists.then(|| self.resolve(&resource["Properties"]).unwrap())
    }

    fn condition(&self, name: &str) -> bool {
        self.holds(&self.template.section("Conditions")[name])
    }

    fn holds(&self, expression: &Value) -> bool {
        let (function, arguments) =
            single(expression).unwrap_or_else(|| panic!("not a condition: {expression}"));
        let list = || arguments.as_array().unwrap();
        match function {
            "Condition" => self.condition(arguments.as_str().unwrap()),
            "Fn::Not" => !self.holds(&arguments[0]),
            "Fn::And" => list().iter().all(|each| self.holds(each)),
            "Fn::Or" => list().iter().any(|each| self.holds(each)),
            "Fn::Equals" => self.text(&arguments[0]) == self.text(&arguments[1]),
            "Fn::Contains" => {
                let (values, value) = (self.resolve(&arguments[0]).unwrap(), self.text(&arguments[1]));
                values.as_array().unwrap().contains(&json!(value))
            }
            other => panic!("{other} is not a function of conditions and rules"),
        }
    }

    fn text(&self, value: &Value) -> String {
        match self.resolve(value) {
            Some(Value::String(text)) => text,
            Some(other) => panic!("not a string: {other}"),
            None => panic!("no value"),
        }
    }

    /// The value of an expression. A resource is `${Name}`, its attribute `${Name.Arn}`. `None` is
    /// `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Option<Value> {
        if let Some((function, arguments)) = single(value) {
            match function {
                "Ref" => return self.reference(arguments.as_str().unwrap()),
                "Fn::GetAtt" => return Some(json!(format!("${{{}}}", arguments.as_str().unwrap()))),
                "Fn::If" => {
                    let branch = if self.condition(arguments[0].as_str().unwrap()) { 1 } else { 2 };
                    return self.resolve(&arguments[branch]);
                }
                "Fn::Join" => {
                    let (separator, values) =
                        (self.text(&arguments[0]), self.resolve(&arguments[1]).unwrap());
                    let texts = values.as_array().unwrap().iter().map(|each| each.as_str().unwrap());
                    return Some(json!(texts.collect::<Vec<_>>().join(&separator)));
                }
                "Fn::Split" => {
                    let (separator, text) = (self.text(&arguments[0]), self.text(&arguments[1]));
                    return Some(json!(text.split(&separator).collect::<Vec<_>>()));
                }
                "Fn::Select" => {
                    let index = usize::try_from(arguments[0].as_u64().unwrap()).unwrap();
                    return Some(self.resolve(&arguments[1]).unwrap()[index].clone());
                }
                "Fn::Sub" if arguments.is_string() => {
                    let text = arguments.as_str().unwrap().to_owned();
                    let filled_in = self
                        .parameters
                        .iter()
                        .fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
                    return Some(json!(filled_in));
                }
                _ => {}
            }
        }
        Some(match value {
            Value::Array(values) => values.iter().filter_map(|each| self.resolve(each)).collect(),
            Value::Object(fields) => {
                let resolved =
                    fields.iter().filter_map(|(name, field)| Some((name.clone(), self.resolve(field)?)));
                Value::Object(resolved.collect::<Map<_, _>>())
            }
            other => other.clone(),
        })
    }

    fn reference(&self, name: &str) -> Option<Value> {
        if name == "AWS::NoValue" {
            return None;
        }
        let Some(value) = self.parameters.get(name) else { return Some(json!(format!("${{{name}}}"))) };
        let is_list = self.template.parameters()[name]["Type"] == "CommaDelimitedList";
        Some(if is_list { json!(value.split(',').collect::<Vec<_>>()) } else { json!(value) })
    }
}

/// The name and the argument of an intrinsic function.
fn single(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object()?;
    let mut entries = fields.iter();
    let (name, argument) = entries.next()?;
    let is_function = name.starts_with("Fn::") || name == "Ref" || name == "Condition";
    // A policy statement has a field Condition too, but not as its only field.
    (is_function && entries.next().is_none()).then_some((name.as_str(), argument))
}
