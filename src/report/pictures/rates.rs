//! Tokens a second, as bars.

use super::canvas::{ACCENT, Area, GRID, INK, MUTED, SECOND, cut, picture, text_style, text_width};
use crate::report::columns::rate as shown;
use crate::report::data::{Estimate, Report, Row, Speed};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::io;

/// Height of a bar, and of the line above a group of bars.
const BAR: i32 = 18;

/// A rate of a type.
type RateOf = fn(&Speed) -> Option<Estimate>;

/// A group of bars with a common scale.
struct Group {
    heading: String,
    colour: RGBColor,
    bars: Vec<(String, Estimate)>,
}

/// Rates of prompts and of generation on each device; `width` pixels wide.
pub fn rates(report: &Report, width: u32) -> String {
    let mut groups = Vec::new();
    let kinds: [(&str, RGBColor, RateOf); 2] =
        [("prompt", ACCENT, |speed| speed.prompt), ("generation", SECOND, |speed| speed.generation)];
    for device in report.devices() {
        for (what, colour, of) in kinds {
            let bar = |row: &Row| Some((row.name.clone(), of(row.speed(device)?)?));
            let bars: Vec<_> = report.rows.iter().filter_map(bar).collect();
            if !bars.is_empty() {
                let letter = report.letter(device).map_or_else(String::new, |letter| format!("{letter}: "));
                let heading = format!("{letter}{what}, tokens a second, {device}");
                groups.push(Group { heading, colour, bars });
            }
        }
    }
    let lines: i32 = groups.iter().map(|group| group.bars.len() as i32 + 2).sum();
    let height = (lines * BAR).max(2 * BAR) as u32;
    let description = "Bars of tokens a second for each type; the figures are in the table below.";
    picture((width, height), "Speed", description, |area| draw(area, &groups, width as i32))
}

fn draw(area: &Area, groups: &[Group], width: i32) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let names = groups.iter().flat_map(|group| &group.bars).map(|(name, _)| text_width(name));
    let left = (names.max().unwrap_or(0) + 10).min(width / 3);
    let figures = groups.iter().flat_map(|group| &group.bars).map(|(_, rate)| text_width(&shown(*rate)));
    let right = width - figures.max().unwrap_or(0) - 10;
    let mut y = 0;
    for group in groups {
        let heading = cut(&group.heading, width - 8);
        area.draw(&Text::new(heading, (0, y + BAR / 2), text_style(MUTED, HPos::Left, VPos::Center)))?;
        y += BAR + 4;
        let most = group.bars.iter().map(|(_, rate)| rate.value).fold(f64::MIN_POSITIVE, f64::max);
        for (name, rate) in &group.bars {
            let middle = y + BAR / 2;
            let style = text_style(INK, HPos::Right, VPos::Center);
            area.draw(&Text::new(name.clone(), (left - 6, middle), style))?;
            let length = (f64::from(right - left) * (rate.value / most).clamp(0.0, 1.0)) as i32;
            let track = [(left, y + 3), (right, y + BAR - 3)];
            area.draw(&Rectangle::new(track, GRID.mix(0.45).filled()))?;
            area.draw(&Rectangle::new([(left, y + 3), (left + length, y + BAR - 3)], group.colour.filled()))?;
            let style = text_style(INK, HPos::Left, VPos::Center);
            area.draw(&Text::new(shown(*rate), (right + 6, middle), style))?;
            y += BAR;
        }
        y += BAR - 4;
    }
    Ok(())
}
