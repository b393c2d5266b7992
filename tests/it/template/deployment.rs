//! The resources of the template with values for its parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Value, json};
use xtask::template::{Stack, Template};

static TEMPLATE: LazyLock<Template> = LazyLock::new(Template::read);

/// The ID of the stack. The third part is a UUID.
const STACK_ID: &str =
    "arn:aws:cloudformation:eu-central-1:123456789012:stack/Shop/1c0e3a70-cc5f-11f0-8c3b-0a1b2c3d4e5f";

/// Evaluates functions as CloudFormation does. A resource is `${Name}`, its attribute `${Name.Arn}`.
pub struct Deployment(Stack<'static>);

impl Deployment {
    /// A deployment in front of an API, with these parameters and defaults for all others.
    pub fn with(values: &[(&str, &str)]) -> Self {
        Self::given(
            &[&[("ProductName", "Example Shop"), ("ApiOriginDomainName", "api.example.com")], values]
                .concat(),
        )
    }

    /// A deployment with the read API and its page.
    pub fn with_read_api(values: &[(&str, &str)]) -> Self {
        Self::given(&[&[("ProductName", "Example Shop")], values].concat())
    }

    fn given(values: &[(&str, &str)]) -> Self {
        let given: BTreeMap<String, String> =
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (stack, problems) = Stack::new(&TEMPLATE, &given);
        assert!(problems.is_empty(), "{problems:?}");
        Self(stack)
    }

    /// The descriptions of the rules that refuse these parameters.
    pub fn refusals(&self) -> Vec<String> {
        let broken = self.0.broken_rules().into_iter();
        broken.map(|rule| rule.split_once(": ").unwrap().1.to_owned()).collect()
    }

    /// The properties of a resource, or `None` if its condition is false.
    pub fn properties(&self, resource: &str) -> Option<Value> {
        let resource = &TEMPLATE.section("Resources")[resource];
        assert!(resource.is_object(), "no such resource");
        self.exists(resource).then(|| self.resolve(&resource["Properties"]).unwrap())
    }

    /// The names of the resources that the deployment has.
    pub fn resources(&self) -> BTreeSet<&'static str> {
        let resources = TEMPLATE.section("Resources").as_object().unwrap().iter();
        resources.filter(|(_, resource)| self.exists(resource)).map(|(name, _)| name.as_str()).collect()
    }

    /// The value of an output, or `None` if its condition is false.
    pub fn output(&self, name: &str) -> Option<Value> {
        let output = &TEMPLATE.section("Outputs")[name];
        assert!(output.is_object(), "no such output");
        self.exists(output).then(|| self.resolve(&output["Value"]).unwrap())
    }

    fn exists(&self, resource: &Value) -> bool {
        resource["Condition"].as_str().is_none_or(|name| self.0.condition(name).unwrap())
    }

    /// The value of an expression. `None` is `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Option<Value> {
        if let Some((function, arguments)) = single(value) {
            match function {
                "Ref" => return self.reference(arguments.as_str().unwrap()),
                "Fn::GetAtt" => return Some(json!(format!("${{{}}}", arguments.as_str().unwrap()))),
                "Fn::If" => {
                    let holds = self.0.condition(arguments[0].as_str().unwrap()).unwrap();
                    return self.resolve(&arguments[if holds { 1 } else { 2 }]);
                }
                "Fn::Join" => {
                    let texts = self.list(&arguments[1]);
                    return Some(json!(texts.join(arguments[0].as_str().unwrap())));
                }
                "Fn::Split" => {
                    let text = self.resolve(&arguments[1]).unwrap();
                    let items = text.as_str().unwrap().split(arguments[0].as_str().unwrap());
                    return Some(items.collect());
                }
                "Fn::Select" => {
                    let index = usize::try_from(arguments[0].as_u64().unwrap()).unwrap();
                    return Some(json!(self.list(&arguments[1])[index]));
                }
                "Fn::Sub" => return Some(Value::String(self.substitute(arguments))),
                other => panic!("{other} is not evaluated"),
            }
        }
        Some(match value {
            Value::Array(values) => values.iter().filter_map(|each| self.resolve(each)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                fields.filter_map(|(name, field)| Some((name.clone(), self.resolve(field)?))).collect()
            }
            other => other.clone(),
        })
    }

    /// Replaces `${Name}` by its value, or keeps it if it is a resource.
    fn substitute(&self, arguments: &Value) -> String {
        let (text, names) = match arguments {
            Value::Array(parts) => (parts[0].as_str().unwrap(), &parts[1]),
            text => (text.as_str().unwrap(), &Value::Null),
        };
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            let value = match names.get(name) {
                Some(value) => self.resolve(value),
                None => self.reference(name),
            };
            result += value.unwrap().as_str().unwrap();
            result += rest;
        }
        result
    }

    fn list(&self, value: &Value) -> Vec<String> {
        serde_json::from_value(self.resolve(value).unwrap()).unwrap()
    }

    fn reference(&self, name: &str) -> Option<Value> {
        match name {
            "AWS::NoValue" => return None,
            "AWS::StackId" => return Some(json!(STACK_ID)),
            _ => {}
        }
        let Some(text) = self.0.text(&json!({"Ref": name})) else {
            return Some(json!(format!("${{{name}}}")));
        };
        let is_list = TEMPLATE.parameters()[name]["Type"] == "CommaDelimitedList";
        Some(if is_list { text.split(',').collect() } else { json!(text) })
    }
}

/// The name and the arguments of a function.
fn single(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object()?;
    let (name, arguments) = fields.iter().next()?;
    let is_function = fields.len() == 1 && (name.starts_with("Fn::") || name == "Ref");
    is_function.then_some((name.as_str(), arguments))
}
