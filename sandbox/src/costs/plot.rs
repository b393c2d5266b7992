//! Dollars per month over users as an SVG picture, with a line for each policy. Pure: the same input
//! gives the same bytes.

use std::fmt::Write;

use super::day::Model;
use super::month::{bill, usage};
use super::policy::{Policy, is_accepted_by_cloudfront};
use super::tables::{SCALES, number};

const WIDTH: f64 = 1_040.0;
const HEIGHT: f64 = 600.0;
/// Area of the lines. Their names are to the right of it.
const LEFT: f64 = 110.0;
const RIGHT: f64 = 680.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 540.0;
/// Distance between two names.
const NAME_HEIGHT: f64 = 19.0;
/// Distance between the end of a line and its name.
const NAME_DISTANCE: f64 = 26.0;
/// Points between two powers of ten: the preferred numbers of ISO 3, ten per decade.
const STEPS: [u32; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
/// Distinguishable with color blindness, with a contrast of 3:1 on white (after Okabe and Ito).
const COLORS: [&str; 7] = ["#000000", "#b35900", "#0072b2", "#007a5a", "#d1495b", "#8a3b8f", "#5f6b73"];

/// Dollars of a policy at a number of users, and whether CloudFront accepts the invalidations.
struct Line {
    policy: Policy,
    points: Vec<Point>,
}

#[derive(Clone, Copy)]
struct Point {
    users: f64,
    dollars: f64,
    is_accepted: bool,
}

/// The picture for pools of ten thousand to a hundred million users. Users behave as in the model.
pub fn cost_by_policy(model: &Model) -> String {
    let lines = Policy::ALL.map(|policy| Line { policy, points: points(model, policy) });
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_picture(&mut out, &lines);
    out
}

fn points(model: &Model, policy: Policy) -> Vec<Point> {
    let (first, last) = (SCALES[0].0, SCALES[SCALES.len() - 1].0);
    let decades = (0..).map(|decade| 10_u32.saturating_pow(decade) * (first / STEPS[0]));
    let users = decades.flat_map(|decade| STEPS.map(|step| step.saturating_mul(decade)));
    users
        .take_while(|users| *users <= last)
        .map(|users| {
            let model = Model { users, ..*model };
            let dollars = bill(&usage(&model, policy)).total();
            Point { users: f64::from(users), dollars, is_accepted: is_accepted_by_cloudfront(&model, policy) }
        })
        .collect()
}

/// Logarithmic axes: powers of ten at equal distances.
struct Axes {
    users: (f64, f64),
    dollars: (f64, f64),
}

impl Axes {
    fn of(lines: &[Line]) -> Self {
        let points = || lines.iter().flat_map(|line| &line.points);
        let bounds = |of: fn(&Point) -> f64| {
            let logarithms = points().map(|point| of(point).max(1.0).log10());
            logarithms.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)))
        };
        let (least, most) = bounds(|point| point.dollars);
        // At least one decade, even if nothing costs anything.
        let dollars = (least.floor(), most.ceil().max(least.floor() + 1.0));
        Self { users: bounds(|point| point.users), dollars }
    }

    fn x(&self, users: f64) -> f64 {
        let (least, most) = self.users;
        LEFT + (RIGHT - LEFT) * (users.log10() - least) / (most - least)
    }

    fn y(&self, dollars: f64) -> f64 {
        let (least, most) = self.dollars;
        BOTTOM - (BOTTOM - TOP) * (dollars.max(1.0).log10() - least) / (most - least)
    }
}

fn write_picture(out: &mut String, lines: &[Line]) -> std::fmt::Result {
    let axes = Axes::of(lines);
    writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#222222" role="img" aria-labelledby="title">"##
    )?;
    writeln!(out, r#"<title id="title">Dollars per month over users, by invalidation policy</title>"#)?;
    // A background of its own, because pages are light or dark.
    writeln!(out, r##"<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>"##)?;
    writeln!(
        out,
        r#"<text x="{LEFT}" y="34" font-size="18" font-weight="600">Dollars per month, by users in the pool</text>"#
    )?;
    writeln!(
        out,
        r##"<text x="{LEFT}" y="56" fill="#555555">All services, list prices of us-east-1. Dotted: more invalidations than CloudFront accepts.</text>"##
    )?;
    write_grid(out, &axes)?;
    for (index, line) in lines.iter().enumerate() {
        write_line(out, &axes, line, index, lines.len())?;
    }
    write_names(out, &axes, lines)?;
    writeln!(out, "</svg>")
}

fn write_grid(out: &mut String, axes: &Axes) -> std::fmt::Result {
    let (least, most) = axes.dollars;
    for power in least as i32..=most as i32 {
        let dollars = 10_f64.powi(power);
        let y = axes.y(dollars);
        writeln!(
            out,
            r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#dddddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">${}</text>"##,
            LEFT - 10.0,
            y + 4.5,
            number(dollars)
        )?;
    }
    for (users, words) in SCALES {
        let x = axes.x(f64::from(users));
        writeln!(
            out,
            r##"<path d="M{x:.1} {TOP}V{BOTTOM}" stroke="#dddddd"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{words}</text>"##,
            BOTTOM + 24.0
        )?;
    }
    writeln!(
        out,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">users</text>"#,
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 46.0
    )
}

/// Solid where CloudFront accepts the invalidations, dotted elsewhere. Earlier lines are wider, so
/// that they show below later lines in the same place.
fn write_line(out: &mut String, axes: &Axes, line: &Line, index: usize, count: usize) -> std::fmt::Result {
    let (color, width) = (color(index), 2.0 + 0.6 * (count - index - 1) as f64);
    // A part begins at the end of the part before it.
    let mut begin = 0;
    while begin + 1 < line.points.len() {
        let is_accepted = line.points[begin + 1].is_accepted;
        let same =
            line.points[begin + 1..].iter().take_while(|point| point.is_accepted == is_accepted).count();
        let part = &line.points[begin..=begin + same];
        let dashes = if is_accepted { "" } else { r#" stroke-dasharray="0.1 7""# };
        write!(
            out,
            r#"<path fill="none" stroke="{color}" stroke-width="{width:.1}" stroke-linecap="round" stroke-linejoin="round"{dashes} d=""#
        )?;
        for (index, point) in part.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            write!(out, "{command}{:.1} {:.1}", axes.x(point.users), axes.y(point.dollars))?;
        }
        writeln!(out, r#""/>"#)?;
        begin += same;
    }
    Ok(())
}

/// The name of each line, next to its end, with a stroke between the two.
fn write_names(out: &mut String, axes: &Axes, lines: &[Line]) -> std::fmt::Result {
    let ends = lines.iter().map(|line| axes.y(line.points.last().map_or(1.0, |point| point.dollars)));
    let ends: Vec<f64> = ends.collect();
    for (index, (line, y)) in lines.iter().zip(apart(&ends)).enumerate() {
        let (color, name) = (color(index), line.policy.name());
        writeln!(
            out,
            r#"<path d="M{:.1} {:.1}L{:.1} {y:.1}" stroke="{color}" fill="none"/><text x="{:.1}" y="{:.1}" fill="{color}">{name}</text>"#,
            RIGHT + 4.0,
            ends[index],
            RIGHT + NAME_DISTANCE - 4.0,
            RIGHT + NAME_DISTANCE,
            y + 4.5
        )?;
    }
    Ok(())
}

/// Heights close to the given ones, in the same order, at least the height of a name apart.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut heights = wanted.to_vec();
    let mut free = f64::NEG_INFINITY;
    for index in &order {
        heights[*index] = heights[*index].max(free);
        free = heights[*index] + NAME_HEIGHT;
    }
    // Names below the bottom push the others up.
    let mut free = BOTTOM;
    for index in order.iter().rev() {
        heights[*index] = heights[*index].min(free);
        free = heights[*index] - NAME_HEIGHT;
    }
    heights
}

fn color(index: usize) -> &'static str {
    COLORS[index % COLORS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if an element is closed that was not opened last.
    fn assert_well_formed(picture: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut left = picture;
        while let Some((text, rest)) = left.split_once('<') {
            assert!(!text.contains('>') && !text.contains('&'), "{text}");
            let (tag, rest) = rest.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = tag.trim_matches('/').split(' ').next().expect("a name");
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            left = rest;
        }
        assert!(open.is_empty() && left == "\n", "{open:?} {left}");
    }

    #[test]
    fn the_picture_is_well_formed_and_names_every_policy_and_size() {
        let picture = cost_by_policy(&Model::default());
        assert_well_formed(&picture);
        for policy in Policy::ALL {
            assert_eq!(picture.matches(&format!(">{}</text>", policy.name())).count(), 1, "{policy:?}");
        }
        for (_, words) in SCALES {
            assert!(picture.contains(&format!(">{words}</text>")), "{words}");
        }
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        assert_eq!(picture, cost_by_policy(&Model::default()));
        let no_users = cost_by_policy(&Model { active_percent: 0, job_percent: 0, ..Model::default() });
        assert_well_formed(&no_users);
        assert!(!no_users.contains("NaN") && !no_users.contains("inf"), "{no_users}");
    }

    #[test]
    fn lines_go_from_the_first_size_to_the_last_ten_steps_for_each_decade() {
        let points = points(&Model::default(), Policy::Coalesced);
        let users: Vec<f64> = points.iter().map(|point| point.users).collect();
        assert_eq!((users.len(), users[0], users[1], users[40]), (41, 1e4, 1.25e4, 1e8));
        assert!(users.is_sorted());
    }

    #[test]
    fn names_keep_apart_and_within_the_picture() {
        for wanted in
            [vec![100.0, 100.0, 100.0], vec![540.0, 539.0, 538.0, 100.0], vec![300.0, 200.0, 310.0], vec![]]
        {
            let mut heights = apart(&wanted);
            heights.sort_by(f64::total_cmp);
            assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 1e-9), "{heights:?}");
            assert!(heights.iter().all(|height| (TOP..=BOTTOM).contains(height)), "{heights:?}");
        }
        assert_eq!(apart(&[300.0, 200.0]), [300.0, 200.0], "unchanged if there is room");
    }
}
