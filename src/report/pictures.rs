//! The pictures of a report, as SVG that stands alone or within a page.
//!
//! Colours are variables of CSS, set in each picture for a light and a dark background, and by the page for
//! all. Texts have at least 11 pixels where a picture is shown in its own width.

mod bars;
mod canvas;
mod frontier;
mod layers;
mod machines;
mod rates;

pub use frontier::frontier;
pub use layers::layers;
pub use machines::{machine_rates, machine_shares};
pub use rates::rates;

pub(super) use canvas::{COLOURS, escaped, within_page};
