//! Loss against size, with the frontier: the types that no other beats in both.

use super::canvas::{ACCENT, Area, FONT, GRID, INK, MUTED, picture, text_style, text_width, tick};
use crate::report::best::is_on_frontier;
use crate::report::data::Report;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::io;

/// Width for the numbers at the left, in pixels.
const LEFT: u32 = 52;
/// The most numbers at the left.
const MOST_TICKS: usize = 40;

/// A type on the picture.
struct Point {
    name: String,
    mib: f64,
    loss: f64,
    error: f64,
    is_best: bool,
}

/// Mean KL divergence against the size of the file, on a logarithmic axis; `width` pixels wide.
///
/// Bars are standard errors over chunks. Types whose divergence is 0 or not finite are left out.
pub fn frontier(report: &Report, width: u32) -> String {
    let mut points: Vec<Point> = report
        .types()
        .filter_map(|row| {
            let mean = row.quality.divergence.as_ref()?.mean;
            Some(Point {
                name: row.name.clone(),
                mib: row.file_bytes as f64 / f64::from(1 << 20),
                loss: mean.value,
                error: mean.error.unwrap_or(0.0),
                is_best: is_on_frontier(report, row),
            })
        })
        .filter(|point| point.loss.is_finite() && point.loss > 0.0)
        .collect();
    points.sort_by(|a, b| a.mib.total_cmp(&b.mib));
    let best: Vec<&str> = points.iter().filter(|point| point.is_best).map(|point| &*point.name).collect();
    let description = format!(
        "Each type by the size of its file and its mean KL divergence from the base. On the frontier, from \
         small to large: {}.",
        best.join(", ")
    );
    let height = (width * 3 / 5).clamp(300, 420);
    picture((width, height), "Loss against size", &description, |area| draw(area, &points, width))
}

fn draw(area: &Area, points: &[Point], width: u32) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    if points.is_empty() {
        let style = text_style(MUTED, HPos::Left, VPos::Top);
        return area.draw(&Text::new("No type differs from the base.", (8, 8), style));
    }
    let fold = |of: &dyn Fn(&Point) -> f64, pick: fn(f64, f64) -> f64| {
        points.iter().map(of).reduce(pick).unwrap_or(1.0)
    };
    let (small, large) = (fold(&|point| point.mib, f64::min), fold(&|point| point.mib, f64::max));
    let (low, high) = (fold(&|point| point.loss, f64::min), fold(&|point| point.loss, f64::max));
    let margin = ((large - small) * 0.12).max(large * 0.02);
    let sizes = (small - margin).max(0.0)..large + margin;
    // A third of a decade around the points; the axis is the logarithm to base 10.
    let (lowest, highest) = (low.log10() - 0.35, high.log10() + 0.35);
    let mut chart = ChartBuilder::on(area)
        .margin_top(22)
        .margin_right(12)
        .margin_bottom(4)
        .x_label_area_size(40)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(sizes, lowest..highest)?;
    let decimals = match large - small {
        span if span < 1.0 => 2,
        span if span < 10.0 => 1,
        _ => 0,
    };
    let label = |horizontal| text_style(INK, horizontal, VPos::Center);
    chart
        .configure_mesh()
        .axis_style(MUTED)
        .bold_line_style(GRID)
        .light_line_style(GRID.mix(0.0))
        .disable_y_mesh()
        .x_labels(if width < 500 { 4 } else { 8 })
        .y_labels(0)
        .x_label_formatter(&|mib| format!("{mib:.decimals$}"))
        .label_style(text_style(MUTED, HPos::Center, VPos::Center))
        .draw()?;
    for loss in ticks(lowest, highest) {
        let line = vec![(chart.x_range().start, loss.log10()), (chart.x_range().end, loss.log10())];
        let (_, y) = chart.backend_coord(&line[0]);
        chart.draw_series([PathElement::new(line, GRID)])?;
        let style = text_style(MUTED, HPos::Right, VPos::Center);
        area.draw(&Text::new(tick(loss), (LEFT as i32 - 8, y), style))?;
    }
    let heading = text_style(MUTED, HPos::Left, VPos::Top);
    area.draw(&Text::new("mean KL divergence, nats (log scale)", (4, 3), heading))?;
    let (area_width, area_height) = area.dim_in_pixel();
    let below = (area_width as i32 - 12, area_height as i32 - 2);
    area.draw(&Text::new("file size, MiB", below, text_style(MUTED, HPos::Right, VPos::Bottom)))?;

    let best = points.iter().filter(|point| point.is_best).map(|point| (point.mib, point.loss.log10()));
    let best: Vec<(f64, f64)> = best.collect();
    chart.draw_series([PathElement::new(best.clone(), ACCENT.stroke_width(2))])?;
    let bars = points.iter().filter(|point| point.error > 0.0).map(|point| {
        let (from, to) = ((point.loss - point.error).max(low / 2.0), point.loss + point.error);
        let ends = [from, to].map(|loss| (point.mib, loss.log10().min(highest)));
        PathElement::new(ends.to_vec(), MUTED.stroke_width(1))
    });
    chart.draw_series(bars)?;
    let marks = points.iter().map(|point| {
        let style = if point.is_best { ACCENT.filled() } else { MUTED.filled() };
        Circle::new((point.mib, point.loss.log10()), 5, style)
    });
    chart.draw_series(marks)?;

    let places: Vec<(i32, i32)> =
        points.iter().map(|point| chart.backend_coord(&(point.mib, point.loss.log10()))).collect();
    let (columns, rows) = chart.plotting_area().get_pixel_range();
    let mut taken: Vec<Box> = places.iter().map(|&(x, y)| Box { x: x - 6, y: y - 6, w: 12, h: 12 }).collect();
    // Texts keep off the frontier, too.
    let line: Vec<(i32, i32)> = best.iter().map(|point| chart.backend_coord(point)).collect();
    taken.extend(line.windows(2).flat_map(|ends| along(ends[0], ends[1])));
    let plot =
        Box { x: columns.start, y: rows.start, w: columns.end - columns.start, h: rows.end - rows.start };
    for (point, &at) in points.iter().zip(&places) {
        let found = label_box(at, text_width(&point.name), &plot, &taken);
        let middle = (found.x, found.y + found.h / 2);
        taken.push(found);
        area.draw(&Text::new(point.name.clone(), middle, label(HPos::Left)))?;
    }
    Ok(())
}

/// A rectangle in pixels.
#[derive(Clone, Copy)]
struct Box {
    x: i32,
    y: i32,
    w: i32,
    h: i32,
}

impl Box {
    fn overlap(&self, other: &Self) -> i32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0) * h.max(0)
    }
}

/// Small rectangles on a line.
fn along((from_x, from_y): (i32, i32), (to_x, to_y): (i32, i32)) -> impl Iterator<Item = Box> {
    let steps = ((to_x - from_x).abs().max((to_y - from_y).abs()) / 4).max(1);
    let at = move |from: i32, to: i32, step: i32| from + (to - from) * step / steps;
    (0..=steps).map(move |step| Box {
        x: at(from_x, to_x, step) - 2,
        y: at(from_y, to_y, step) - 2,
        w: 4,
        h: 4,
    })
}

/// Round numbers on an axis between two powers of 10: 1, 2 and 5 times each, or the powers if there are many.
fn ticks(lowest: f64, highest: f64) -> Vec<f64> {
    let steps: &[f64] = if highest - lowest < 3.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = (lowest.floor() as i32..=highest.ceil() as i32).map(|power| 10f64.powi(power));
    let all = powers.flat_map(|power| steps.iter().map(move |step| step * power));
    all.filter(|tick| (lowest..=highest).contains(&tick.log10())).take(MOST_TICKS).collect()
}

/// The place near a point where a text covers least of what is there.
fn label_box((x, y): (i32, i32), width: i32, plot: &Box, taken: &[Box]) -> Box {
    let (w, h) = (width, FONT + 3);
    let near = [
        (x + 9, y - h - 3),
        (x + 9, y + 3),
        (x - w - 9, y + 3),
        (x - w - 9, y - h - 3),
        (x - w / 2, y - h - 8),
        (x - w / 2, y + 8),
        (x + 9, y - h - 18),
        (x - w - 9, y + 18),
        (x + 9, y + 18),
    ];
    let boxes = near.map(|(x, y)| Box { x, y, w, h });
    let cost = |place: &Box| {
        let outside = w * h - place.overlap(plot);
        2 * outside + taken.iter().map(|other| place.overlap(other)).sum::<i32>()
    };
    boxes.into_iter().min_by_key(cost).unwrap_or(Box { x, y, w, h })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(-2.5, -0.2), [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]);
        let decades = ticks(-5.0, -0.5);
        assert_eq!(decades.len(), 5);
        assert!(ticks(-320.0, 300.0).len() <= MOST_TICKS);
    }

    #[test]
    fn labels_keep_off_each_other_and_inside() {
        let plot = Box { x: 0, y: 0, w: 300, h: 200 };
        let mut taken = vec![Box { x: 94, y: 94, w: 12, h: 12 }, Box { x: 99, y: 89, w: 12, h: 12 }];
        for at in [(100, 100), (105, 95)] {
            let found = label_box(at, 50, &plot, &taken);
            assert!(taken.iter().all(|other| found.overlap(other) == 0));
            taken.push(found);
        }
        let corner = label_box((298, 2), 50, &plot, &[]);
        assert_eq!(corner.overlap(&plot), corner.w * corner.h);
    }
}
