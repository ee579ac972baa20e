//! Loss by learning rate, for each phase.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use warmstart_files::one_line;
use warmstart_language::message;
use warmstart_workflows::lr_find::{STILL, Sweep};

use crate::Error;
use crate::picture::{COLOURS, Drawn, power, write};

const WIDTH: u32 = 960;
const PANEL: u32 = 340;

/// Writes an SVG with a panel for each phase: the learning rate on a logarithmic x, the smoothed loss on y, and a line
/// at the suggestion.
///
/// # Errors
/// If the file cannot be written.
pub fn draw_sweeps(path: &Path, sweeps: &[Sweep]) -> Result<(), Error> {
    write(path, (WIDTH, PANEL * sweeps.len() as u32), |root| {
        for (area, sweep) in root.split_evenly((sweeps.len(), 1)).iter().zip(sweeps) {
            panel(area, sweep)?;
        }
        Ok(())
    })
}

fn panel<'a>(area: &DrawingArea<SVGBackend<'a>, Shift>, sweep: &Sweep) -> Drawn<'a> {
    let points = || {
        sweep
            .curve
            .iter()
            .map(|point| (point.lr.log10(), point.loss))
    };
    let losses = || points().map(|(_, loss)| loss);
    let least = losses().fold(f64::INFINITY, f64::min);
    // Losses after the explosion would flatten the rest of the curve.
    let most = losses().take(STILL).fold(0.0, f64::max) * 1.5;
    let [left, right] = [0, sweep.curve.len().saturating_sub(1)]
        .map(|index| sweep.curve.get(index).map_or(0.0, |point| point.lr.log10()));
    let phase = one_line(&sweep.phase);
    let title = match sweep.suggestion {
        Some(lr) => message!(
            "{phase}: {lr:.1e} suggested, the recipe has {recipe_lr:.1e}",
            recipe_lr = sweep.recipe_lr
        ),
        None => message!("{phase}: the loss neither falls nor rises"),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(
            left..right.max(left + 1.0),
            least * 0.9..most.max(least * 1.1),
        )?;
    chart
        .configure_mesh()
        .x_desc(message!("learning rate"))
        .y_desc(message!("smoothed loss"))
        .x_label_formatter(&|exponent| power(*exponent))
        .light_line_style(WHITE)
        .draw()?;
    let shown = points().take_while(|(_, loss)| *loss <= most);
    chart.draw_series(LineSeries::new(shown, COLOURS[0].stroke_width(2)))?;
    if let Some(lr) = sweep.suggestion {
        let line = [(lr.log10(), least * 0.9), (lr.log10(), most)];
        chart.draw_series(LineSeries::new(line, COLOURS[1].stroke_width(2)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use warmstart_workflows::lr_find::{FoundBy, Point};

    use super::*;

    #[test]
    fn every_phase_has_its_panel_also_one_without_a_suggestion() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lr.svg");
        let sweep = |phase: &str, suggestion| Sweep {
            phase: phase.into(),
            recipe_lr: 3e-3,
            suggestion,
            found_by: suggestion.map(|_| FoundBy::Lowest),
            curve: (0..20)
                .map(|step| Point {
                    lr: 10f64.powf(f64::from(step) / 4.0 - 5.0),
                    loss: 2.0 - f64::from(step) / 20.0,
                })
                .collect(),
        };
        draw_sweeps(&path, &[sweep("freeze", Some(1e-3)), sweep("thaw", None)]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(
            svg.contains("freeze: 1.0e-3 suggested, the recipe has 3.0e-3"),
            "{svg}"
        );
        assert!(
            svg.contains("thaw: the loss neither falls nor rises"),
            "{svg}"
        );
    }
}
