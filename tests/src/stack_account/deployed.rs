//! Values of `template.yaml` after the deployment: what refers to a resource is known.

use serde_json::{Map, Value};
use xtask::template::{Stack, Template};

use super::{Resource, STACK};

pub(super) const REGION: &str = "eu-central-1";
pub(super) const ACCOUNT: &str = "123456789012";
/// Domain name of the distribution that the stack creates.
const DISTRIBUTION_DOMAIN: &str = "d111111abcdef8.cloudfront.net";

/// The ARN of a function.
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

/// The ARN of a user pool.
pub(super) fn user_pool_arn(id: &str) -> String {
    format!("arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{id}")
}

/// A stack with its parameters and resources.
pub(super) struct Deployed<'a> {
    pub stack: Stack<'a>,
    pub resources: &'a [Resource],
}

impl Deployed<'_> {
    /// The outputs that the stack has: name and text. Outputs whose value is not known are left out.
    pub fn outputs(&self, template: &Template) -> Vec<(String, String)> {
        let outputs = template.section("Outputs").as_object().expect("the template has outputs");
        let has = |output: &Value| {
            output["Condition"].as_str().is_none_or(|name| self.stack.condition(name) == Some(true))
        };
        let outputs = outputs.iter().filter(|(_, output)| has(output));
        outputs
            .filter_map(|(name, output)| {
                let text = self.resolve(&output["Value"])?;
                Some((name.clone(), text.as_str()?.to_owned()))
            })
            .collect()
    }

    /// The properties of a resource, with numbers and truth values in place of their texts. Those without a
    /// value are left out.
    pub fn properties(&self, template: &Template, logical_id: &str) -> Value {
        let properties = &template.section("Resources")[logical_id]["Properties"];
        self.resolve(properties).unwrap_or_default()
    }

    /// A value without functions. `None` for `AWS::NoValue`, and for what is not known.
    fn resolve(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => {
                Some(items.iter().filter_map(|item| self.resolve(item)).collect::<Vec<_>>().into())
            }
            Value::Object(fields) if !is_function(fields) => {
                let fields =
                    fields.iter().filter_map(|(name, value)| Some((name.clone(), self.resolve(value)?)));
                Some(fields.collect::<Map<_, _>>().into())
            }
            Value::Object(_) => {
                if let Some([Value::String(condition), then, other]) =
                    value["Fn::If"].as_array().map(Vec::as_slice)
                {
                    return self.resolve(if self.stack.condition(condition)? { then } else { other });
                }
                if let Some([Value::String(separator), list]) =
                    value["Fn::Split"].as_array().map(Vec::as_slice)
                {
                    let text = self.stack.text(&self.with_names(list))?;
                    return Some(text.split(separator.as_str()).collect::<Vec<_>>().into());
                }
                self.stack.text(&self.with_names(value)).map(|text| typed(&text))
            }
            other => Some(other.clone()),
        }
    }

    /// The value with names in place of references to resources and to the account.
    fn with_names(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.with_names(item)).collect::<Vec<_>>().into(),
            Value::Object(fields) => {
                // A parameter with the type CommaDelimitedList, joined again.
                if let Some([Value::String(_), list]) = value["Fn::Join"].as_array().map(Vec::as_slice)
                    && !list.is_array()
                {
                    return self.with_names(list);
                }
                let reference = value["Ref"].as_str().or_else(|| value["Fn::GetAtt"].as_str());
                match reference.and_then(|name| self.name(name)) {
                    Some(name) => name.into(),
                    None => fields
                        .iter()
                        .map(|(name, value)| (name.clone(), self.with_names(value)))
                        .collect::<Map<_, _>>()
                        .into(),
                }
            }
            Value::String(text) => {
                let mut text = text.clone();
                for part in text.clone().split("${").skip(1).filter_map(|part| part.split_once('}')) {
                    if let Some(name) = self.name(part.0) {
                        text = text.replace(&format!("${{{}}}", part.0), &name);
                    }
                }
                text.into()
            }
            other => other.clone(),
        }
    }

    /// What a name such as `Table`, `PreSignUpFunction.Arn` or `AWS::Region` refers to. `None` for a
    /// parameter.
    fn name(&self, name: &str) -> Option<String> {
        let text = match name {
            "AWS::StackName" => STACK.to_owned(),
            "AWS::Region" => REGION.to_owned(),
            "AWS::AccountId" => ACCOUNT.to_owned(),
            "AWS::Partition" => "aws".to_owned(),
            "Distribution.DomainName" => DISTRIBUTION_DOMAIN.to_owned(),
            _ => {
                let (id, attribute) = name.split_once('.').map_or((name, ""), |(id, rest)| (id, rest));
                let resource = self.resources.iter().find(|resource| resource.logical_id == id)?;
                match (resource.resource_type.as_str(), attribute) {
                    (_, "") => resource.physical_id.clone(),
                    ("AWS::Lambda::Function", "Arn") => function_arn(&resource.physical_id),
                    _ => return None,
                }
            }
        };
        Some(text)
    }
}

fn is_function(fields: &Map<String, Value>) -> bool {
    fields.len() == 1 && fields.keys().all(|name| name == "Ref" || name.starts_with("Fn::"))
}

/// CloudFormation accepts texts for numbers and truth values.
fn typed(text: &str) -> Value {
    match (text.parse::<i64>(), text.parse::<bool>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(flag)) => flag.into(),
        _ => text.into(),
    }
}
