//! `warmstart init-check`.

use std::io::stdout;

use warmstart_files::shown;
use warmstart_language::{columns, message, padded};
use warmstart_workflows::init_check::{Check, Layer, Request, check};

use super::{Failure, use_threads};
use crate::arguments::InitCheck;
use crate::printing::{json, line};

pub fn init_check(arguments: InitCheck) -> Result<(), Failure> {
    warmstart_report::require_place(&arguments.picture)?;
    use_threads(&arguments.threads)?;
    let request = Request {
        model: arguments.model,
        batch: usize::from(arguments.batch),
        image_size: arguments.image_size,
        seed: arguments.seed,
        data: arguments.data,
    };
    let mut inits = arguments.compare;
    if let Some(init) = arguments.init {
        inits.insert(0, init);
    }
    if inits.is_empty() {
        inits.push(Default::default());
    }
    let checks = check(&request, &inits)?;
    let picture = &arguments.picture;
    warmstart_report::draw_initializations(picture, &request.model, &checks)?;
    let mut out = stdout().lock();
    if arguments.json {
        for check in &checks {
            json(&mut out, check)?;
        }
        return Ok(());
    }
    let mut lines = match &checks[..] {
        [only] => table(only),
        several => side_by_side(several),
    };
    lines.extend(checks.iter().flat_map(verdict));
    lines.push(message!("picture: {}", shown(picture)));
    for text in lines {
        line(&mut out, text)?;
    }
    Ok(())
}

/// A table with one line per layer, the classifier last; ratios are to the layer before, those of gradients to the layer
/// after.
fn table(check: &Check) -> Vec<String> {
    let width = names(check);
    let head = [
        padded(&message!("layer"), width, false),
        padded(&message!("mean"), 10, true),
        padded(&message!("deviation"), 10, true),
        padded(&message!("ratio"), 7, true),
        padded(&message!("zeros"), 6, true),
        padded(&message!("gradient"), 10, true),
        padded(&message!("ratio"), 7, true),
    ];
    let mut lines = vec![head.join(" ")];
    let layers: Vec<&Layer> = check.with_head().collect();
    for (index, layer) in layers.iter().enumerate() {
        let ratio = |a: f64, b: Option<f64>| b.map_or(String::new(), |b| format!("{:.2}", a / b));
        let before = index.checked_sub(1).map(|before| layers[before].deviation);
        let after = layers.get(index + 1).map(|layer| layer.gradient_deviation);
        lines.push(format!(
            "{:width$} {:>10.2e} {:>10.2e} {:>7} {:>5.0}% {:>10.2e} {:>7}",
            layer.name,
            layer.mean,
            layer.deviation,
            ratio(layer.deviation, before),
            100.0 * layer.zeros,
            layer.gradient_deviation,
            ratio(layer.gradient_deviation, after),
        ));
    }
    lines
}

/// The deviation and gradient of each layer under each initialization, as a table.
fn side_by_side(checks: &[Check]) -> Vec<String> {
    let width = names(&checks[0]);
    let column = checks
        .iter()
        .map(|check| check.init.len())
        .max()
        .unwrap_or(0)
        .max(21);
    let inits = checks
        .iter()
        .map(|check| format!(" {:>column$}", check.init));
    let inits: String = inits.collect();
    let layer = padded(&message!("layer"), width, false);
    let both = message!("(deviation, gradient)");
    let mut lines = vec![format!("{layer}{inits}   {both}")];
    for (index, layer) in checks[0].with_head().enumerate() {
        let mut row = format!("{:width$}", layer.name);
        for check in checks {
            let layer = check.with_head().nth(index).expect("the same network");
            let both = format!("{:.2e}, {:.2e}", layer.deviation, layer.gradient_deviation);
            row += &format!(" {both:>column$}");
        }
        lines.push(row);
    }
    lines
}

fn verdict(check: &Check) -> Vec<String> {
    let Check {
        init,
        forward,
        backward,
        findings,
        ..
    } = check;
    let [forward, backward] = [forward, backward].map(|growth| {
        if growth.is_finite() {
            format!("× {growth:.2e}")
        } else {
            message!("out of range")
        }
    });
    let mut lines = vec![message!(
        "{init}: first to last layer: signal {forward}, gradient {backward}"
    )];
    if findings.is_empty() {
        lines.push(message!(
            "  both stay within a factor of a thousand: healthy"
        ));
    }
    lines.extend(findings.iter().map(|finding| format!("  {finding}")));
    lines
}

fn names(check: &Check) -> usize {
    let names = check.with_head().map(|layer| columns(&layer.name));
    names.max().unwrap_or(0).max(5)
}
