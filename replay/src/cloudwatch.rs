//! Metrics and alarms, from CloudWatch.

use std::collections::BTreeMap;

use anyhow::Result;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricAlarm, MetricDataQuery, MetricStat, StateValue};
use jiff::Timestamp;

use crate::aws_error::{Service, aws_error};

/// GetMetricData: metrics in a call.
const MAX_METRICS: usize = 500;
/// DescribeAlarms: alarms in a call.
const MAX_ALARMS: usize = 100;

/// A metric and how its values in a period become one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricQuery {
    namespace: &'static str,
    name: &'static str,
    dimensions: Vec<(&'static str, String)>,
    statistic: &'static str,
}

impl MetricQuery {
    /// The sum of the values.
    pub fn sum(
        namespace: &'static str,
        name: &'static str,
        dimensions: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        Self { namespace, name, dimensions: dimensions.into_iter().collect(), statistic: "Sum" }
    }

    /// The maximum of the values.
    pub fn maximum(
        namespace: &'static str,
        name: &'static str,
        dimensions: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        Self { statistic: "Maximum", ..Self::sum(namespace, name, dimensions) }
    }
}

/// Values of metrics.
#[derive(Debug, Default)]
pub struct MetricData(BTreeMap<MetricQuery, Vec<(Timestamp, f64)>>);

impl MetricData {
    /// Reads metrics from `from` to `to`, in periods of `period_seconds`, which must be a multiple
    /// of 60.
    pub async fn read(
        cloudwatch: &Client,
        metrics: &[MetricQuery],
        (from, to): (Timestamp, Timestamp),
        period_seconds: i32,
    ) -> Result<Self> {
        let mut data: BTreeMap<MetricQuery, Vec<(Timestamp, f64)>> = BTreeMap::new();
        for metrics in metrics.chunks(MAX_METRICS) {
            let queries =
                metrics.iter().enumerate().map(|(index, metric)| query(index, metric, period_seconds));
            let call = cloudwatch.get_metric_data().set_metric_data_queries(Some(queries.collect()));
            let call = call.start_time(DateTime::from_secs(from.as_second()));
            let mut pages = call.end_time(DateTime::from_secs(to.as_second())).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(aws_error(Service::CloudWatch, "GetMetricData"))?;
                for result in page.metric_data_results() {
                    let index = result.id().and_then(|id| id.strip_prefix('m')?.parse::<usize>().ok());
                    let Some(metric) = index.and_then(|index| metrics.get(index)) else { continue };
                    let times = result.timestamps().iter().filter_map(|time| time_of(Some(time)));
                    data.entry(metric.clone())
                        .or_default()
                        .extend(times.zip(result.values().iter().copied()));
                }
            }
        }
        Ok(Self(data))
    }

    /// The newest value. `None` without data.
    pub fn latest(&self, metric: &MetricQuery) -> Option<f64> {
        self.values(metric).max_by_key(|(time, _)| *time).map(|(_, value)| value)
    }

    /// The sum of all values, 0 without data.
    pub fn sum(&self, metric: &MetricQuery) -> u64 {
        whole(self.values(metric).map(|(_, value)| value).sum())
    }

    /// The highest value. `None` without data.
    pub fn maximum(&self, metric: &MetricQuery) -> Option<f64> {
        self.values(metric).map(|(_, value)| value).reduce(f64::max)
    }

    fn values(&self, metric: &MetricQuery) -> impl Iterator<Item = (Timestamp, f64)> {
        self.0.get(metric).into_iter().flatten().copied()
    }
}

/// A value as a whole number. Negative values become 0.
pub fn whole(value: f64) -> u64 {
    // `as` saturates: a float beyond the range becomes the nearest number.
    value.round() as u64
}

fn query(index: usize, metric: &MetricQuery, period_seconds: i32) -> MetricDataQuery {
    let dimensions = metric.dimensions.iter();
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(*name).value(value).build());
    let source = Metric::builder().namespace(metric.namespace).metric_name(metric.name);
    let source = source.set_dimensions(Some(dimensions.collect())).build();
    let stat = MetricStat::builder().metric(source).period(period_seconds).stat(metric.statistic);
    MetricDataQuery::builder().id(format!("m{index}")).metric_stat(stat.build()).build()
}

/// An alarm in the state ALARM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingingAlarm {
    pub name: String,
    pub since: Option<Timestamp>,
}

/// Those of the alarms that ring, in the order of their names.
pub async fn ringing_alarms(cloudwatch: &Client, names: &[&str]) -> Result<Vec<RingingAlarm>> {
    let ringing = describe_alarms(cloudwatch, names, Some(StateValue::Alarm)).await?;
    let mut ringing: Vec<RingingAlarm> = ringing
        .iter()
        .map(|alarm| RingingAlarm {
            name: alarm.alarm_name().unwrap_or_default().to_owned(),
            since: time_of(alarm.state_transitioned_timestamp().or(alarm.state_updated_timestamp())),
        })
        .collect();
    ringing.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(ringing)
}

/// The alarms with these names, as far as they exist. Only those in a state, if there is one.
pub async fn describe_alarms(
    cloudwatch: &Client,
    names: &[&str],
    state: Option<StateValue>,
) -> Result<Vec<MetricAlarm>> {
    let mut alarms = Vec::new();
    for names in names.chunks(MAX_ALARMS) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let call = cloudwatch.describe_alarms().set_alarm_names(Some(names)).set_state_value(state.clone());
        let mut pages = call.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error(Service::CloudWatch, "DescribeAlarms"))?;
            alarms.extend(page.metric_alarms.unwrap_or_default());
        }
    }
    Ok(alarms)
}

fn time_of(time: Option<&DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(time?.secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_metric_become_one() {
        let metric = |name| MetricQuery::sum("AWS/Lambda", name, [("FunctionName", "shop".to_owned())]);
        let time = |second| Timestamp::from_second(second).unwrap();
        let values = vec![(time(120), 2.0), (time(180), 1.0), (time(60), 4.4)];
        let data = MetricData([(metric("Errors"), values)].into());
        for (name, expected) in [("Errors", (Some(1.0), 7, Some(4.4))), ("Throttles", (None, 0, None))] {
            let metric = metric(name);
            assert_eq!((data.latest(&metric), data.sum(&metric), data.maximum(&metric)), expected, "{name}");
        }
        assert_eq!([-1.0, 0.4, 7.5, f64::NAN, f64::INFINITY].map(whole), [0, 0, 8, 0, u64::MAX]);
    }
}
