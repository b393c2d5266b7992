//! What the SVG pictures have in common. Pure: the same input gives the same bytes.

use std::fmt::Write;

pub(super) const WIDTH: f64 = 1_040.0;
pub(super) const HEIGHT: f64 = 600.0;
/// Area of the lines and points. Their names are to the right of it.
pub(super) const LEFT: f64 = 110.0;
pub(super) const RIGHT: f64 = 680.0;
pub(super) const TOP: f64 = 80.0;
pub(super) const BOTTOM: f64 = 540.0;
/// Distance between two names.
const NAME_HEIGHT: f64 = 19.0;
/// Distance between the area and a name.
const NAME_DISTANCE: f64 = 26.0;
/// Distinguishable with color blindness, with a contrast of 3:1 on white (after Okabe and Ito).
const COLORS: [&str; 6] = ["#000000", "#b35900", "#0072b2", "#007a5a", "#d1495b", "#8a3b8f"];

pub(super) fn color(index: usize) -> &'static str {
    COLORS[index % COLORS.len()]
}

/// A position on a logarithmic axis: powers of ten at equal distances. `begin` and `end` are the logarithms
/// of the axis, `from` and `to` the coordinates.
pub(super) fn position(value: f64, (begin, end): (f64, f64), from: f64, to: f64) -> f64 {
    from + (to - from) * (value.log10() - begin) / (end - begin)
}

/// Opens the picture. `title` is for readers of the picture, `description` for those who do not see it.
pub(super) fn write_begin(
    out: &mut String,
    description: &str,
    title: &str,
    subtitle: &str,
) -> std::fmt::Result {
    writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#222222" role="img" aria-labelledby="title">"##
    )?;
    writeln!(out, r#"<title id="title">{description}</title>"#)?;
    // A background of its own, because pages are light or dark.
    writeln!(out, r##"<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>"##)?;
    writeln!(out, r#"<text x="{LEFT}" y="34" font-size="18" font-weight="600">{title}</text>"#)?;
    writeln!(out, r##"<text x="{LEFT}" y="56" fill="#555555">{subtitle}</text>"##)
}

/// A horizontal line of the grid, with its text.
pub(super) fn write_row(out: &mut String, y: f64, text: &str) -> std::fmt::Result {
    writeln!(
        out,
        r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#dddddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"##,
        LEFT - 10.0,
        y + 4.5
    )
}

/// A vertical line of the grid, with its text.
pub(super) fn write_column(out: &mut String, x: f64, text: &str) -> std::fmt::Result {
    writeln!(
        out,
        r##"<path d="M{x:.1} {TOP}V{BOTTOM}" stroke="#dddddd"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"##,
        BOTTOM + 24.0
    )
}

/// The name of the horizontal axis.
pub(super) fn write_axis(out: &mut String, text: &str) -> std::fmt::Result {
    let (x, y) = ((LEFT + RIGHT) / 2.0, BOTTOM + 46.0);
    writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle">{text}</text>"#)
}

/// A name for each point, to the right of the area, with a stroke between the two.
pub(super) fn write_names(out: &mut String, names: &[(&str, (f64, f64))]) -> std::fmt::Result {
    let heights: Vec<f64> = names.iter().map(|(_, (_, y))| *y).collect();
    for (index, ((name, (x, from)), y)) in names.iter().zip(apart(&heights)).enumerate() {
        let color = color(index);
        writeln!(
            out,
            r#"<path d="M{:.1} {from:.1}L{:.1} {y:.1}" stroke="{color}" stroke-opacity="0.5" fill="none"/><text x="{:.1}" y="{:.1}" fill="{color}">{name}</text>"#,
            x + 4.0,
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Fails if an element is closed that was not opened last.
    pub fn assert_well_formed(picture: &str) {
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
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
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

    #[test]
    fn powers_of_ten_have_equal_distances() {
        for (value, expected) in [(1.0, 0.0), (10.0, 50.0), (100.0, 100.0)] {
            assert_eq!(position(value, (0.0, 2.0), 0.0, 100.0), expected);
        }
    }
}
