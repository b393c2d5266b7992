//! Two SVG pictures: dollars per month over users, with a line for each policy, and the staleness of
//! another device over dollars, with a point for each policy. Pure: the same input gives the same bytes.

use std::fmt::Write;

use super::day::Model;
use super::number::number;
use super::picture::{
    BOTTOM, LEFT, RIGHT, TOP, color, position, write_axis, write_begin, write_column, write_names, write_row,
};
use super::policy::Policy;
use super::results::{PoolResult, SCALES, of_all_policies};

/// Numbers of users at which the lines have a point: where they bend, and the sizes of the tables.
const USERS: [u32; 7] = [10_000, 31_600, 100_000, 1_000_000, 10_000_000, 31_600_000, 100_000_000];
/// Users of the points in the second picture.
const POINT_USERS: u32 = 1_000_000;
/// Seconds at which the second picture has a line. The axis shows logarithms of one more second, so that it
/// has a 0.
const SECONDS: [f64; 7] = [0.0, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0];

type Results = [(Policy, Vec<PoolResult>)];

/// The pictures with the names of their files. Users behave as in the model.
pub fn pictures(model: &Model, origin_dollars: f64) -> [(&'static str, String); 2] {
    let results = of_all_policies(model, &USERS, origin_dollars);
    let (mut lines, mut points) = (String::new(), String::new());
    // Writing to a string cannot fail.
    let _ = write_lines(&mut lines, &results);
    let _ = write_points(&mut points, &results);
    [("cost-by-policy.svg", lines), ("staleness-by-cost.svg", points)]
}

/// The powers of ten around the dollars, as logarithms: at least one decade, even if nothing costs
/// anything.
fn decades(dollars: impl Iterator<Item = f64>) -> (f64, f64) {
    let logarithms = dollars.map(|dollars| dollars.max(1.0).log10());
    let (least, most) =
        logarithms.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (value.min(least), value.max(most)));
    (least.floor(), most.ceil().max(least.floor() + 1.0))
}

fn write_lines(out: &mut String, results: &Results) -> std::fmt::Result {
    write_begin(
        out,
        "Dollars per month over users, by policy",
        "Dollars per month, by users in the pool",
        "All services and pages, list prices of us-east-1. Dotted: more invalidations than CloudFront accepts.",
    )?;
    let all = results.iter().flat_map(|(_, results)| results);
    let dollars = decades(all.map(|result| result.bill.total()));
    let users = (f64::from(USERS[0]).log10(), f64::from(USERS[USERS.len() - 1]).log10());
    let x = |result: &PoolResult| position(f64::from(result.users), users, LEFT, RIGHT);
    let y = |result: &PoolResult| position(result.bill.total().max(1.0), dollars, BOTTOM, TOP);
    for power in dollars.0 as i32..=dollars.1 as i32 {
        let value = 10_f64.powi(power);
        write_row(out, position(value, dollars, BOTTOM, TOP), &format!("${}", number(value)))?;
    }
    for (count, words) in SCALES {
        write_column(out, position(f64::from(count), users, LEFT, RIGHT), words)?;
    }
    write_axis(out, "users")?;
    let mut names = Vec::new();
    for (index, (policy, results)) in results.iter().enumerate() {
        let points: Vec<(f64, f64)> = results.iter().map(|result| (x(result), y(result))).collect();
        let is_accepted: Vec<bool> =
            results.iter().map(|result| result.outcome.is_accepted_by_cloudfront()).collect();
        // Earlier lines are wider, so that they show below later lines in the same place.
        let width = 2.0 + 0.6 * (Policy::ALL.len() - index) as f64;
        write_line(out, &points, &is_accepted, (color(index), width))?;
        names.extend(points.last().map(|point| (policy.name(), *point)));
    }
    write_names(out, &names)?;
    writeln!(out, "</svg>")
}

/// Solid where CloudFront accepts the invalidations, dotted elsewhere.
fn write_line(
    out: &mut String,
    points: &[(f64, f64)],
    is_accepted: &[bool],
    (color, width): (&str, f64),
) -> std::fmt::Result {
    // A part begins at the end of the part before it.
    let mut begin = 0;
    while begin + 1 < points.len() {
        let accepted = is_accepted[begin + 1];
        let same = is_accepted[begin + 1..].iter().take_while(|other| **other == accepted).count();
        let dashes = if accepted { "" } else { r#" stroke-dasharray="0.1 7""# };
        write!(
            out,
            r#"<path fill="none" stroke="{color}" stroke-width="{width:.1}" stroke-linecap="round" stroke-linejoin="round"{dashes} d=""#
        )?;
        for (index, (x, y)) in points[begin..=begin + same].iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            write!(out, "{command}{x:.1} {y:.1}")?;
        }
        writeln!(out, r#""/>"#)?;
        begin += same;
    }
    Ok(())
}

fn write_points(out: &mut String, results: &Results) -> std::fmt::Result {
    write_begin(
        out,
        "Staleness of another device over dollars per month, by policy",
        "Staleness of another device, by dollars per month",
        "How long a change had been hidden: filled 99th percentile, hollow maximum. A million users, all services and pages.",
    )?;
    let results: Vec<(Policy, &PoolResult)> = results
        .iter()
        .filter_map(|(policy, results)| {
            Some((*policy, results.iter().find(|result| result.users == POINT_USERS)?))
        })
        .collect();
    let dollars = decades(results.iter().map(|(_, result)| result.bill.total()));
    let bounds = (0.0, (SECONDS[SECONDS.len() - 1] + 1.0).log10());
    let y = |seconds: f64| position(seconds + 1.0, bounds, BOTTOM, TOP);
    for seconds in SECONDS {
        write_row(out, y(seconds), &format!("{} s", number(seconds)))?;
    }
    for power in dollars.0 as i32..=dollars.1 as i32 {
        let value = 10_f64.powi(power);
        write_column(out, position(value, dollars, LEFT, RIGHT), &format!("${}", number(value)))?;
    }
    write_axis(out, "dollars per month")?;
    let mut names = Vec::new();
    for (index, (policy, result)) in results.iter().enumerate() {
        let x = position(result.bill.total().max(1.0), dollars, LEFT, RIGHT);
        let (y, top, color) = (y(result.outcome.other.p99), y(result.outcome.other.max), color(index));
        writeln!(
            out,
            r##"<path d="M{x:.1} {y:.1}V{top:.1}" stroke="{color}" stroke-opacity="0.5"/><circle cx="{x:.1}" cy="{top:.1}" r="4" fill="#ffffff" stroke="{color}"/><circle cx="{x:.1}" cy="{y:.1}" r="5" fill="{color}"/>"##
        )?;
        names.push((policy.name(), (x, y)));
    }
    write_names(out, &names)?;
    writeln!(out, "</svg>")
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::assert_well_formed;
    use super::*;

    #[test]
    fn pictures_are_well_formed_and_name_every_policy() {
        let few = Model { active_percent: 1, ..Model::default() };
        let drawn = pictures(&few, 1.6);
        for (name, picture) in &drawn {
            assert_well_formed(picture);
            for policy in Policy::ALL {
                assert_eq!(
                    picture.matches(&format!(">{}</text>", policy.name())).count(),
                    1,
                    "{name} {policy:?}"
                );
            }
        }
        for (_, words) in SCALES {
            assert!(drawn[0].1.contains(&format!(">{words}</text>")), "{words}");
        }
        assert_eq!(drawn[1].1.matches("<circle").count(), 2 * Policy::ALL.len());
        assert_eq!(drawn, pictures(&few, 1.6));
    }

    #[test]
    fn pictures_of_nothing_are_well_formed() {
        let nobody = Model { active_percent: 0, job_percent: 0, ..Model::default() };
        pictures(&nobody, 0.0).iter().for_each(|(_, picture)| assert_well_formed(picture));
    }
}
