//! Bars in groups, each with a letter and a figure.

use super::canvas::{Area, GRID, INK, MUTED, cut, picture, text_style, text_width};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::io;

/// Height of a bar and of a line of text, and the space after a group.
const BAR: i32 = 18;
const SPACE: i32 = 8;

/// A bar.
pub(super) struct Bar {
    pub(super) letter: String,
    pub(super) colour: RGBColor,
    /// Its length: 1 is the longest. Larger ones are drawn as 1.
    pub(super) fraction: f64,
    pub(super) text: String,
}

/// Bars with one name.
pub(super) struct Bars {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
}

/// The groups under a title and a legend; `width` pixels wide.
pub(super) fn bars(title: &str, legend: &[(String, RGBColor)], groups: &[Bars], width: u32) -> String {
    let lines = 1 + legend.len() as i32 + groups.iter().map(|group| group.bars.len() as i32).sum::<i32>();
    let height = (lines * BAR + (groups.len() as i32 + 1) * SPACE) as u32;
    let description = format!("{title}, as bars for each machine; the figures are in the table below.");
    picture((width, height), title, &description, |area| draw(area, title, legend, groups, width as i32))
}

fn draw(
    area: &Area,
    title: &str,
    legend: &[(String, RGBColor)],
    groups: &[Bars],
    width: i32,
) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let widest =
        |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text_width(text)).max().unwrap_or(0);
    let all = || groups.iter().flat_map(|group| &group.bars);
    // Fonts differ, and the widths are estimates: there is space at both sides.
    let names = (widest(&mut groups.iter().map(|group| &group.name)) + 10).min(width / 3);
    let letters = widest(&mut all().map(|bar| &bar.letter));
    let left = names + letters + 14;
    let right = (width - widest(&mut all().map(|bar| &bar.text)) - 20).max(left + BAR);
    let muted = || text_style(MUTED, HPos::Left, VPos::Center);
    area.draw(&Text::new(cut(title, width - 4), (0, BAR / 2), muted()))?;
    let mut y = BAR;
    for (name, colour) in legend {
        area.draw(&Rectangle::new([(0, y + 4), (BAR - 8, y + BAR - 4)], colour.filled()))?;
        area.draw(&Text::new(cut(name, width - BAR - 4), (BAR, y + BAR / 2), muted()))?;
        y += BAR;
    }
    y += SPACE;
    for group in groups {
        let middle = y + group.bars.len() as i32 * BAR / 2;
        let style = text_style(INK, HPos::Right, VPos::Center);
        if !group.bars.is_empty() {
            area.draw(&Text::new(cut(&group.name, names - 10), (names, middle), style))?;
        }
        for bar in &group.bars {
            let middle = y + BAR / 2;
            area.draw(&Text::new(bar.letter.clone(), (names + 8, middle), muted()))?;
            let length = (f64::from(right - left) * bar.fraction.clamp(0.0, 1.0)) as i32;
            area.draw(&Rectangle::new([(left, y + 3), (right, y + BAR - 3)], GRID.mix(0.45).filled()))?;
            area.draw(&Rectangle::new([(left, y + 3), (left + length, y + BAR - 3)], bar.colour.filled()))?;
            let style = text_style(INK, HPos::Left, VPos::Center);
            area.draw(&Text::new(bar.text.clone(), (right + 6, middle), style))?;
            y += BAR;
        }
        y += SPACE;
    }
    Ok(())
}
