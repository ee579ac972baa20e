//! `warmstart export`.

use std::io::stdout;

use warmstart_export::check::{Checked, WholeCheck};
use warmstart_export::{Exported, OnnxRequest};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_workflows::export::{ComparedOn, Outcome, Request};

use super::weights::fetch_detector;
use super::{Failure, use_threads};
use crate::arguments::{Export, PreprocessingPlace};
use crate::printing::{json, line, print_to_stderr};
use crate::progress::noted;

pub fn export(arguments: Export) -> Result<(), Failure> {
    use_threads(&arguments.threads)?;
    fetch_detector(&arguments.model)?;
    let onnx = arguments.onnx.map(|path| OnnxRequest {
        path,
        preprocessing: arguments.preprocessing == PreprocessingPlace::Inside,
        logits: arguments.logits,
        raw: arguments.raw,
        half: arguments.half,
    });
    let outcome = warmstart_workflows::export::export(&Request {
        model: arguments.model,
        onnx,
        torch: arguments.torch,
        web: arguments.web,
        runtime: arguments.runtime,
    })?;
    if let Some(note) = &outcome.note {
        print_to_stderr(noted(note));
    }
    let mut out = stdout().lock();
    if arguments.json {
        return Ok(json(&mut out, &outcome)?);
    }
    for text in lines(&outcome) {
        line(&mut out, text)?;
    }
    Ok(())
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for onnx in [&outcome.onnx, &outcome.web].into_iter().flatten() {
        lines.push(written(onnx));
        lines.extend(onnx.sidecar.as_ref().map(|path| {
            message!(
                "wrote {}: what the caller has to do to a picture",
                shown(path)
            )
        }));
        lines.extend(verdict(onnx.checked.as_ref(), outcome.compared_on));
        lines.extend(
            onnx.half
                .as_ref()
                .map(|half| message!("16-bit weights beside 32-bit ones: {}", half.words())),
        );
    }
    for path in &outcome.torch {
        lines.push(message!("wrote {}", shown(path)));
    }
    lines.extend(on_fractions(outcome));
    lines
}

/// What is to be said of a model that was trained on JPEGs at a fraction of their size.
fn on_fractions(outcome: &Outcome) -> Option<String> {
    let as_trained = outcome.is_of_fractions.then(|| {
        message!(
            "the model was trained with decode = \"scaled\", and what was written takes pictures with every pixel decoded"
        )
    })?;
    Some(match &outcome.fully_decoded {
        Some(agreement) => message!(
            "{as_trained}; the trainer's own answers for the two: {}",
            agreement.words()
        ),
        None => as_trained,
    })
}

fn written(onnx: &Exported) -> String {
    let Exported {
        file,
        bytes,
        model,
        classes,
        ..
    } = onnx;
    message!(
        "wrote {}: {:.1} MB, {model}, {classes} classes",
        shown(file),
        *bytes as f64 / 1e6
    )
}

fn verdict(checked: Option<&Checked>, compared_on: Option<ComparedOn>) -> Vec<String> {
    let Some(Checked { network, whole }) = checked else {
        return vec![message!(
            "not checked: this build has no engine to check with"
        )];
    };
    let mut lines = vec![match compared_on {
        Some(ComparedOn::ValidationImages) => {
            message!("checked by tract on validation images: {}", network.words())
        }
        Some(ComparedOn::Noise) | None => message!(
            "checked by tract on noise, because the run's validation images are not there: {}",
            network.words()
        ),
    }];
    match whole {
        Some(WholeCheck::Compared(agreement)) => lines.push(message!(
            "with its preprocessing, from pixels on: {}",
            agreement.words()
        )),
        Some(WholeCheck::NotComputed(reason)) => lines.push(message!(
            "the network alone was checked, without its preprocessing: {reason}"
        )),
        None => {}
    }
    lines
}
