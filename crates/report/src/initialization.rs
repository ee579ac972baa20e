//! Signal and gradient by depth, for each initialization.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use warmstart_files::one_line;
use warmstart_language::message;
use warmstart_workflows::init_check::{Check, Layer};

use crate::Error;
use crate::picture::{COLOURS, Drawn, power, write};

const SIZE: (u32, u32) = (960, 760);
/// Smallest value on the axis; smaller ones are drawn there, because zero has no logarithm.
const LEAST: f64 = 1e-30;
const MOST: f64 = 1e30;

/// Writes an SVG of two panels, forward and backward: depth on x, standard deviation on a logarithmic y, a
/// curve for each initialization.
///
/// # Errors
/// If the file cannot be written.
pub fn draw_initializations(path: &Path, model: &str, checks: &[Check]) -> Result<(), Error> {
    write(path, SIZE, |root| {
        let (upper, lower) = root.split_vertically(SIZE.1 / 2);
        let forward = |layer: &Layer| layer.deviation;
        let backward = |layer: &Layer| layer.gradient_deviation;
        panel(
            &upper,
            &message!("{model}, forward: standard deviation of each layer's output"),
            checks,
            forward,
            SeriesLabelPosition::LowerLeft,
        )?;
        panel(
            &lower,
            &message!(
                "{model}, backward: standard deviation of the gradient w.r.t. each layer's output"
            ),
            checks,
            backward,
            SeriesLabelPosition::LowerRight,
        )
    })
}

fn panel<'a>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    title: &str,
    checks: &[Check],
    value: fn(&Layer) -> f64,
    // The corner that curves that end or begin at 1 leave free.
    legend: SeriesLabelPosition,
) -> Drawn<'a> {
    let shown = |layer: &Layer| match value(layer) {
        value if value.is_finite() => value.clamp(LEAST, MOST),
        _ => MOST,
    };
    let all = || checks.iter().flat_map(|check| &check.layers).map(shown);
    let least = all().fold(f64::INFINITY, f64::min);
    let most = all().fold(0.0, f64::max);
    // At least a decade, so that a level curve looks level.
    let (least, most) = (least.min(most / 10.0) / 2.0, most * 2.0);
    let depth = checks
        .iter()
        .map(|check| check.layers.len())
        .max()
        .unwrap_or(1);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(1..depth, least.log10()..most.log10())?;
    chart
        .configure_mesh()
        .x_desc(message!("layer (input to output)"))
        .y_desc(message!("standard deviation"))
        .x_labels(16)
        .y_labels(12)
        .y_label_formatter(&|exponent| power(*exponent))
        .light_line_style(WHITE)
        .draw()?;
    for (check, &colour) in checks.iter().zip(COLOURS.iter().cycle()) {
        let points = (1..).zip(check.layers.iter().map(|layer| shown(layer).log10()));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(one_line(&check.init))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(init: &str, deviations: &[f64]) -> Check {
        let layer = |(number, &deviation): (usize, &f64)| Layer {
            name: format!("layer{number}"),
            mean: 0.0,
            deviation,
            zeros: 0.5,
            gradient_deviation: deviation,
            on_main_path: true,
        };
        Check {
            init: init.into(),
            layers: deviations.iter().enumerate().map(layer).collect(),
            head: None,
            forward: 1.0,
            backward: 1.0,
            findings: Vec::new(),
        }
    }

    #[test]
    fn every_initialization_has_its_curve_whatever_its_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("init.svg");
        let checks = [
            check("kaiming_normal(in)", &[1.0, 1.1, 0.9]),
            check("normal(0.1)", &[1.0, 1e20, f64::INFINITY]),
            check("normal(0.01)", &[1.0, 1e-20, 0.0]),
        ];
        draw_initializations(&path, "plain", &checks).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for check in &checks {
            assert_eq!(
                svg.matches(check.init.as_str()).count(),
                2,
                "a legend in each panel"
            );
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let error =
            draw_initializations(&folder.path().join("no/init.svg"), "plain", &checks).unwrap_err();
        assert!(error.to_string().contains("could not write"), "{error}");
    }
}
