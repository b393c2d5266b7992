//! CloudWatch: the operations DescribeAlarms and GetMetricData, in the protocol rpc-v2-cbor.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use winterbaume_core::MockResponse;

use super::{Refusal, StackAccount, cbor, lock, refusal};

/// Alarms in a page if the request names no number.
const PAGE: usize = 50;

/// The state of an alarm.
#[derive(Clone, Debug)]
pub struct AlarmState {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    pub since: Timestamp,
    pub has_actions: bool,
}

impl Default for AlarmState {
    fn default() -> Self {
        Self { state: "OK".to_owned(), since: Timestamp::UNIX_EPOCH, has_actions: true }
    }
}

/// A data point of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
    pub time: Timestamp,
    pub value: f64,
}

impl Metric {
    pub fn new(
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        time: Timestamp,
        value: f64,
    ) -> Self {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { namespace, name, dimensions: dimensions.collect(), time, value }
    }
}

impl StackAccount {
    /// Adds the data points of a log line in the embedded metric format. Panics if it is none.
    ///
    /// Source of the format: Amazon CloudWatch User Guide, *Embedded metric format specification*.
    pub fn put_embedded_metrics(&self, line: &str) {
        let line: Value = serde_json::from_str(line).expect("a line of metrics is JSON");
        let millis = line["_aws"]["Timestamp"].as_i64().expect("a timestamp");
        let time = Timestamp::from_millisecond(millis).expect("a timestamp in range");
        let list = |value: &Value| value.as_array().expect("a list").clone();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        for directive in list(&line["_aws"]["CloudWatchMetrics"]) {
            for names in list(&directive["Dimensions"]) {
                let dimensions = list(&names).iter().map(text).collect::<Vec<_>>();
                let dimensions = dimensions.into_iter().map(|name| (name.clone(), text(&line[&name])));
                let dimensions: BTreeMap<String, String> = dimensions.collect();
                for metric in list(&directive["Metrics"]) {
                    let name = text(&metric["Name"]);
                    let value = line[&name].as_f64().expect("a value");
                    let (namespace, dimensions) = (text(&directive["Namespace"]), dimensions.clone());
                    self.put_metric(Metric { namespace, name, dimensions, time, value });
                }
            }
        }
    }

    pub(super) fn cloudwatch(&self, operation: &str, body: &[u8]) -> MockResponse {
        let input = cbor::decode(body);
        let result = self.begin(operation).and_then(|()| match operation {
            "DescribeAlarms" => Ok(self.describe_alarms(&input)),
            "GetMetricData" => self.get_metric_data(&input),
            _ => Err(refusal("UnknownOperationException", operation)),
        });
        let (status, output) = match result {
            Ok(output) => (200, output),
            Err(Refusal { code, message }) => {
                (400, json!({"__type": format!("com.amazonaws.cloudwatch#{code}"), "message": message}))
            }
        };
        let mut response = MockResponse::json(status, cbor::encode(&output));
        let header = |value: &'static str| http::HeaderValue::from_static(value);
        response.headers.insert("content-type", header("application/cbor"));
        response.headers.insert("smithy-protocol", header("rpc-v2-cbor"));
        response
    }

    fn describe_alarms(&self, input: &Value) -> Value {
        let names: Option<Vec<&str>> =
            input["AlarmNames"].as_array().map(|names| names.iter().filter_map(Value::as_str).collect());
        let state = input["StateValue"].as_str();
        let from: usize =
            input["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or_default();
        let most = input["MaxRecords"].as_u64().map_or(PAGE, |most| most as usize);
        let alarms = lock(&self.0.alarms);
        let selected: Vec<_> = alarms
            .iter()
            .filter(|(name, _)| names.as_ref().is_none_or(|names| names.contains(&name.as_str())))
            .filter(|(_, alarm)| state.is_none_or(|state| state == alarm.state))
            .collect();
        let page: Vec<Value> = selected
            .iter()
            .skip(from)
            .take(most)
            .map(|(name, alarm)| {
                let since = cbor::time(alarm.since);
                json!({
                    "AlarmName": name, "StateValue": alarm.state, "ActionsEnabled": alarm.has_actions, "StateUpdatedTimestamp": since,
                    "StateTransitionedTimestamp": since,
                })
            })
            .collect();
        let mut output = json!({"MetricAlarms": page, "CompositeAlarms": []});
        if from + most < selected.len() {
            output["NextToken"] = (from + most).to_string().into();
        }
        output
    }

    fn get_metric_data(&self, input: &Value) -> Result<Value, Refusal> {
        let time = |name: &str| input[name].as_f64().unwrap_or_default() as i64;
        let (start, end) = (time("StartTime"), time("EndTime"));
        let queries = input["MetricDataQueries"].as_array().map(Vec::as_slice).unwrap_or_default();
        if queries.is_empty() || queries.len() > 500 {
            return Err(refusal("ValidationError", "1 to 500 metrics"));
        }
        let results: Result<Vec<Value>, Refusal> =
            queries.iter().map(|query| self.series(query, start, end)).collect();
        Ok(json!({"MetricDataResults": results?, "Messages": []}))
    }

    /// The periods of a metric, newest first.
    fn series(&self, query: &Value, start: i64, end: i64) -> Result<Value, Refusal> {
        let stat = &query["MetricStat"];
        let period = stat["Period"].as_i64().filter(|period| *period > 0 && period % 60 == 0);
        let period = period.ok_or_else(|| refusal("ValidationError", "the period is not in minutes"))?;
        let metric = &stat["Metric"];
        let dimensions: BTreeMap<String, String> = metric["Dimensions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|dimension| {
                let text = |name: &str| dimension[name].as_str().unwrap_or_default().to_owned();
                (text("Name"), text("Value"))
            })
            .collect();
        let mut values: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for point in lock(&self.0.metrics).iter() {
            let is_same = metric["Namespace"] == point.namespace.as_str()
                && metric["MetricName"] == point.name.as_str()
                && dimensions == point.dimensions;
            let second = point.time.as_second();
            if is_same && (start..end).contains(&second) {
                values.entry(second - second.rem_euclid(period)).or_default().push(point.value);
            }
        }
        let statistic = |values: &Vec<f64>| match stat["Stat"].as_str() {
            Some("Sum") => Ok(values.iter().sum::<f64>()),
            Some("Maximum") => Ok(values.iter().copied().fold(f64::MIN, f64::max)),
            other => Err(refusal("ValidationError", format!("the statistic {other:?} is unknown here"))),
        };
        let times: Vec<Value> = values.keys().rev().map(|second| json!({"$time": second})).collect();
        let values: Result<Vec<f64>, Refusal> = values.values().rev().map(statistic).collect();
        Ok(json!({"Id": query["Id"], "Timestamps": times, "Values": values?, "StatusCode": "Complete"}))
    }
}
