//! Line charts as SVG, whose colours come from the page.

use maud::{Markup, html};
use warmstart_language::{english, message, translated};

use super::ticks::{Scale, label};

/// Size of a chart in its own units; the page scales it.
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 230.0;
/// Room for the labels of each axis, and at the other ends.
const LEFT: f64 = 54.0;
const BOTTOM: f64 = 36.0;
const TOP: f64 = 14.0;
const RIGHT: f64 = 12.0;
/// Number of colours that the page has.
const COLOURS: usize = 6;

/// What the x axis of a chart over epochs shows.
pub const EPOCH: &str = english!("epoch");

/// A curve.
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points; one that is not finite interrupts it.
    pub points: Vec<[f64; 2]>,
}

/// A part of the x axis that is shaded.
pub struct Band {
    /// Its name.
    pub name: String,
    /// Its ends on the x axis.
    pub ends: [f64; 2],
}

/// A chart.
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What each axis shows, with its unit, in English.
    pub axes: [&'static str; 2],
    /// The curves.
    pub series: Vec<Series>,
    /// Shaded parts of the x axis, every second of which is shaded.
    pub bands: Vec<Band>,
    /// A line across, with its name in English.
    pub mark: Option<(f64, &'static str)>,
    /// Whether the y axis is logarithmic.
    pub is_logarithmic: bool,
    /// Values that the y axis shows in any case.
    pub at_least: Option<[f64; 2]>,
}

impl Chart {
    fn finite(&self) -> impl Iterator<Item = [f64; 2]> {
        let points = self.series.iter().flat_map(|series| &series.points);
        points
            .copied()
            .filter(|[x, y]| x.is_finite() && y.is_finite() && (!self.is_logarithmic || *y > 0.0))
    }

    /// The figure; nothing if no point has a value.
    pub fn figure(&self) -> Markup {
        if self.finite().next().is_none() {
            return html! {};
        }
        let ends = self.bands.iter().flat_map(|band| band.ends);
        let x = Scale::of(self.finite().map(|[x, _]| x).chain(ends), false, None);
        let y = Scale::of(
            self.finite().map(|[_, y]| y),
            self.is_logarithmic,
            self.at_least,
        );
        let place = |[at_x, at_y]: [f64; 2]| {
            let across = LEFT + x.share(at_x) * (WIDTH - LEFT - RIGHT);
            let down = TOP + (1.0 - y.share(at_y)) * (HEIGHT - TOP - BOTTOM);
            [across, down]
        };
        let [floor, ceiling] = [HEIGHT - BOTTOM, TOP];
        html! {
            figure.chart {
                figcaption { (self.title) }
                @if self.series.len() > 1 {
                    ul.legend {
                        @for (number, series) in self.series.iter().enumerate() {
                            li class={ "colour" (number % COLOURS) } { (series.name) }
                        }
                    }
                }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.title) {
                    @for (number, band) in self.bands.iter().enumerate() {
                        @let [left, right] = band.ends.map(|end| place([end, y.low])[0]);
                        rect.shade.clear[number % 2 == 1] x=(n(left)) y=(n(ceiling)) width=(n(right - left))
                            height=(n(floor - ceiling)) {}
                        text.band x=(n((left + right) / 2.0)) y=(n(ceiling - 4.0)) { (band.name) }
                    }
                    @for tick in y.ticks() {
                        @let [_, down] = place([x.low, tick]);
                        line.grid x1=(n(LEFT)) x2=(n(WIDTH - RIGHT)) y1=(n(down)) y2=(n(down)) {}
                        text.left x=(n(LEFT - 4.0)) y=(n(down + 3.5)) { (label(tick)) }
                    }
                    // There is no half epoch.
                    @for tick in x.ticks().into_iter().filter(|tick| self.axes[0] != EPOCH || tick.fract() == 0.0) {
                        @let [across, _] = place([tick, y.low]);
                        line.grid x1=(n(across)) x2=(n(across)) y1=(n(floor)) y2=(n(floor + 3.0)) {}
                        text.below x=(n(across)) y=(n(floor + 14.0)) { (label(tick)) }
                    }
                    @if let Some((at, name)) = self.mark {
                        @let [across, _] = place([at, y.low]);
                        line.mark x1=(n(across)) x2=(n(across)) y1=(n(ceiling)) y2=(n(floor)) {
                            title { (translated(name)) }
                        }
                    }
                    @for (number, series) in self.series.iter().enumerate() {
                        g class={ "colour" (number % COLOURS) } {
                            @for piece in self.pieces(series) {
                                polyline points=(line(&piece, place)) {}
                            }
                            @if series.points.len() <= 60 {
                                @for point in self.pieces(series).concat() {
                                    @let [across, down] = place(point);
                                    circle cx=(n(across)) cy=(n(down)) r="2.6" {
                                        title {
                                            (message!(
                                                "{name}: {y} at {x}",
                                                name = series.name,
                                                y = label(point[1]),
                                                x = label(point[0])
                                            ))
                                        }
                                    }
                                }
                            }
                        }
                    }
                    text.axis x=(n((LEFT + WIDTH - RIGHT) / 2.0)) y=(n(HEIGHT - 4.0)) { (translated(self.axes[0])) }
                    text.axis transform={ "translate(10 " (n((TOP + floor) / 2.0)) ") rotate(-90)" } {
                        (translated(self.axes[1]))
                    }
                }
            }
        }
    }

    /// The unbroken pieces of a curve.
    fn pieces(&self, series: &Series) -> Vec<Vec<[f64; 2]>> {
        let is_shown = |[x, y]: &[f64; 2]| {
            x.is_finite() && y.is_finite() && (!self.is_logarithmic || *y > 0.0)
        };
        let pieces = series.points.split(|point| !is_shown(point));
        pieces
            .filter(|piece| !piece.is_empty())
            .map(<[_]>::to_vec)
            .collect()
    }
}

fn line(points: &[[f64; 2]], place: impl Fn([f64; 2]) -> [f64; 2]) -> String {
    let places = points.iter().map(|&point| place(point));
    let places = places.map(|[across, down]| format!("{},{}", n(across), n(down)));
    places.collect::<Vec<_>>().join(" ")
}

/// A coordinate, short.
fn n(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[[f64; 2]], is_logarithmic: bool) -> String {
        let chart = Chart {
            title: "loss <b>".into(),
            axes: ["epoch", "loss"],
            series: vec![
                Series {
                    name: "training".into(),
                    points: points.to_vec(),
                },
                Series {
                    name: "validation".into(),
                    points: points.to_vec(),
                },
            ],
            bands: vec![Band {
                name: "freeze".into(),
                ends: [0.5, 1.5],
            }],
            mark: Some((1.0, "kept")),
            is_logarithmic,
            at_least: None,
        };
        chart.figure().into_string()
    }

    #[test]
    fn a_value_that_is_not_finite_interrupts_the_curve() {
        let nan = f64::NAN;
        let svg = chart(
            &[[1.0, 2.0], [2.0, 1.5], [3.0, nan], [4.0, 1.0], [5.0, 0.9]],
            false,
        );
        assert_eq!(
            svg.matches("<polyline").count(),
            4,
            "two pieces of two curves"
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.contains("loss &lt;b&gt;"), "{svg}");
    }

    #[test]
    fn zero_has_no_place_on_a_logarithmic_axis() {
        let svg = chart(&[[1.0, 1e-3], [2.0, 0.0], [3.0, 1e-1]], true);
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains(">0.01<"), "a tick at each power of ten: {svg}");
    }

    #[test]
    fn a_chart_without_values_is_none() {
        assert_eq!(chart(&[], false), "");
        assert_eq!(chart(&[[1.0, f64::INFINITY]], false), "");
        assert!(
            chart(&[[1.0, 1.0]], false).contains("<circle"),
            "one value is a point"
        );
    }
}
