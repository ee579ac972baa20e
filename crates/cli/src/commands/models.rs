//! `warmstart models`.

use std::io::stdout;

use warmstart_language::message;
use warmstart_workflows::models::{Network, Weights, networks};

use super::{Failure, use_threads};
use crate::arguments::Models;
use crate::plan_table::thousands;
use crate::printing::{json, line};
use crate::text_table::{rows, unknown};

pub fn models(arguments: &Models) -> Result<(), Failure> {
    let threads = use_threads(&arguments.threads)?;
    let networks = networks(arguments.measure);
    let mut out = stdout().lock();
    if arguments.json {
        for network in &networks {
            json(&mut out, network)?;
        }
        return Ok(());
    }
    for text in lines(&networks, arguments.measure.then_some(threads)) {
        line(&mut out, text)?;
    }
    Ok(())
}

fn lines(networks: &[Network], measured_on: Option<usize>) -> Vec<String> {
    let head = [
        message!("model"),
        message!("parameters"),
        message!("multiply-adds"),
        message!("image"),
        message!("ms/image"),
        message!("usual weights"),
        "top-1".to_owned(),
        "AP".to_owned(),
        message!("licence"),
    ];
    let mut lines = rows(&head, networks.iter().map(row));
    let records: usize = networks.iter().map(|network| network.weights.len()).sum();
    let measured = match measured_on {
        Some(1) => message!("; times on 1 thread"),
        Some(threads) => message!("; times on {threads} threads"),
        None => message!(", or not measured (--measure)"),
    };
    lines.push(message!(
        "top-1: accuracy on ImageNet, AP of a detector: on COCO, both in percent, as published; –: not \
         stated{measured}. All {records} published weights: warmstart weights list"
    ));
    lines
}

fn row(network: &Network) -> [String; 9] {
    let is_usual = |weights: &&Weights| weights.name == network.usual_weights;
    let usual = network.weights.iter().find(is_usual);
    let percent = |figure: Option<f64>| unknown(figure.map(|figure| format!("{figure:.1}")));
    let top1 = percent(usual.and_then(|weights| weights.top1));
    let ap = percent(usual.and_then(|weights| weights.ap));
    let license = usual.and_then(|weights| weights.license);
    [
        network.name.to_owned(),
        thousands(network.parameters),
        format!("{} M", thousands(network.multiply_adds / 1_000_000)),
        network.image_size.to_string(),
        unknown(network.milliseconds.map(|time| format!("{time:.1}"))),
        network.usual_weights.to_owned(),
        top1,
        ap,
        unknown(license.map(str::to_owned)),
    ]
}
