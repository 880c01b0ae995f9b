//! The error of weights by layer and role: a row for each role, a column for each layer.

use super::canvas::{ACCENT, Area, FONT, GRID, INK, MUTED, picture, text_style, text_width};
use crate::mix;
use crate::report::data::TensorError;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::io;

/// Height of a row.
const ROW: i32 = 22;
/// Height for what is above and below the rows.
const HEAD: i32 = 20;
const FOOT: i32 = 58;
/// The lightest cell.
const LIGHTEST: f64 = 0.08;

/// A number of a layer from here on comes from a damaged name.
const MOST_LAYERS: u32 = 4096;

/// A tensor with an error.
struct Cell<'a> {
    role: &'a str,
    /// `None` for tensors of no layer.
    layer: Option<u32>,
    sqnr_db: f64,
    format: &'a str,
}

/// The error of each tensor; `width` pixels wide, and wider where there are more layers than have room.
///
/// The stronger the colour, the larger the error against the weights. Tensors that stay as they are are not
/// shown, nor are roles of such tensors.
pub fn layers(tensors: &[TensorError], title: &str, width: u32) -> String {
    let cells: Vec<Cell> = tensors
        .iter()
        .filter_map(|tensor| {
            let sqnr_db = tensor.sqnr_db?;
            let layer = mix::layer(&tensor.name).filter(|&layer| layer < MOST_LAYERS);
            let role = match layer {
                Some(_) => tensor.name.splitn(3, '.').nth(2).unwrap_or(&tensor.name),
                None => &tensor.name,
            };
            let role = role.strip_suffix(".weight").unwrap_or(role);
            Some(Cell { role, layer, sqnr_db, format: &tensor.format })
        })
        .collect();
    let mut roles: Vec<&str> = Vec::new();
    for cell in cells.iter().filter(|cell| cell.layer.is_some()) {
        if !roles.contains(&cell.role) {
            roles.push(cell.role);
        }
    }
    let single: Vec<&Cell> = cells.iter().filter(|cell| cell.layer.is_none()).collect();
    let height = HEAD + ROW * (roles.len() + single.len()) as i32 + FOOT;
    let worst = cells.iter().min_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
    let description = worst.map_or_else(
        || "No tensor has an error.".to_owned(),
        |worst| {
            let layer = worst.layer.map_or_else(String::new, |layer| format!(" in layer {layer}"));
            format!("The largest error is that of {}{layer}, {:.2} dB.", worst.role, worst.sqnr_db)
        },
    );
    picture((width, height as u32), title, &description, |area| draw(area, &cells, &roles, width as i32))
}

fn draw(
    area: &Area,
    cells: &[Cell],
    roles: &[&str],
    width: i32,
) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let muted = |horizontal| text_style(MUTED, horizontal, VPos::Center);
    if cells.is_empty() {
        return area.draw(&Text::new("All tensors stay as they are.", (4, HEAD / 2), muted(HPos::Left)));
    }
    let names = cells.iter().map(|cell| text_width(cell.role)).max().unwrap_or(0);
    let left = (names + 10).min(width / 2);
    let last = cells.iter().filter_map(|cell| cell.layer).max().unwrap_or(0);
    let columns = last as i32 + 1;
    let right = width - 8;
    let edge = |column: i32| left + (right - left) * column / columns;
    // The scale is that of the layers: a tensor of no layer may be far off.
    let scaled: Vec<f64> =
        cells.iter().filter(|cell| cell.layer.is_some()).map(|cell| cell.sqnr_db).collect();
    let scaled = if scaled.is_empty() { cells.iter().map(|cell| cell.sqnr_db).collect() } else { scaled };
    let low = scaled.iter().copied().fold(f64::INFINITY, f64::min);
    let high = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shade = |sqnr: f64| {
        let share = if high > low { ((high - sqnr) / (high - low)).clamp(0.0, 1.0) } else { 1.0 };
        LIGHTEST + (1.0 - LIGHTEST) * share
    };

    // As many numbers of layers as have room.
    let wanted = text_width("00") + 8;
    let step = (1..columns).find(|&step| edge(step) - edge(0) >= wanted).unwrap_or(columns);
    for column in (0..columns).step_by(step as usize) {
        let middle = i32::midpoint(edge(column), edge(column + 1));
        area.draw(&Text::new(column.to_string(), (middle, HEAD / 2), muted(HPos::Center)))?;
    }
    let ink = text_style(INK, HPos::Right, VPos::Center);
    let name = |role: &str, y: i32| Text::new(role.to_owned(), (left - 6, y + ROW / 2), ink.clone());
    let mut y = HEAD;
    for role in roles {
        area.draw(&name(role, y))?;
        for cell in cells.iter().filter(|cell| cell.role == *role) {
            let Some(layer) = cell.layer else { continue };
            let corners = [(edge(layer as i32), y + 1), (edge(layer as i32 + 1) - 1, y + ROW - 1)];
            area.draw(&Rectangle::new(corners, ACCENT.mix(shade(cell.sqnr_db)).filled()))?;
        }
        y += ROW;
    }
    for cell in cells.iter().filter(|cell| cell.layer.is_none()) {
        area.draw(&name(cell.role, y))?;
        let end = left + ((right - left) / 4).max(24);
        let corners = [(left, y + 1), (end, y + ROW - 1)];
        area.draw(&Rectangle::new(corners, ACCENT.mix(shade(cell.sqnr_db)).filled()))?;
        let figure = format!("{:.2} dB, {}", cell.sqnr_db, cell.format);
        area.draw(&Text::new(figure, (end + 8, y + ROW / 2), muted(HPos::Left)))?;
        y += ROW;
    }
    legend(area, y + 8, low, high, (left, right), &shade)
}

/// The scale, from the least error to the largest.
fn legend(
    area: &Area,
    y: i32,
    low: f64,
    high: f64,
    (left, right): (i32, i32),
    shade: &dyn Fn(f64) -> f64,
) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    const STEPS: i32 = 24;
    let at = |step: i32| left + (right - left) * step / STEPS;
    for step in 0..STEPS {
        let sqnr = high + (low - high) * f64::from(step) / f64::from(STEPS - 1);
        area.draw(&Rectangle::new([(at(step), y), (at(step + 1), y + 8)], ACCENT.mix(shade(sqnr)).filled()))?;
    }
    area.draw(&Rectangle::new([(left, y), (right, y + 8)], GRID.stroke_width(1)))?;
    let below = y + 8 + FONT;
    let text = |horizontal| text_style(MUTED, horizontal, VPos::Center);
    area.draw(&Text::new(format!("{high:.1} dB"), (left, below), text(HPos::Left)))?;
    area.draw(&Text::new(format!("{low:.1} dB"), (right, below), text(HPos::Right)))?;
    let middle = (i32::midpoint(left, right), below + FONT + 4);
    area.draw(&Text::new("SQNR: stronger colour, larger error", middle, text(HPos::Center)))
}
