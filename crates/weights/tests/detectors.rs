//! Files of detectors as MMDetection and YOLOX save them: `fixtures/make_detector_weights.py`.

mod common;

use common::pickles::Pickler;
use common::{one_line, read_fixture};
use warmstart_files::plain;
use warmstart_weights::{Expected, LoadPlan, Part, Rows, Target, WeightFile, compare, inspect};

const CLASSES: [&str; 3] = ["person", "car", "traffic light"];
const STEM: &str = "backbone.stem.0.conv.weight";
const PREDICTOR: &str = "bbox_head.rtm_cls.0.weight";
const SECOND_LEVEL: &str = "bbox_head.cls_convs.1.0.conv.weight";

/// The network of the fixtures, for that many classes.
fn network(classes: usize) -> Vec<Expected> {
    let backbone = |name: &str, shape: &[usize]| Expected::new(name, shape, Part::Backbone);
    let head = |name: &str, shape: &[usize]| Expected::new(name, shape, Part::Head);
    vec![
        backbone(STEM, &[2, 3, 3, 3]),
        backbone("backbone.stem.0.bn.weight", &[2]),
        backbone("backbone.stem.0.bn.running_var", &[2]),
        Expected {
            copies: vec![
                SECOND_LEVEL.to_owned(),
                "bbox_head.cls_convs.2.0.conv.weight".to_owned(),
            ],
            ..head("bbox_head.cls_convs.0.0.conv.weight", &[2, 2, 3, 3])
        },
        head(PREDICTOR, &[classes, 2]),
        head("bbox_head.rtm_cls.0.bias", &[classes]),
    ]
}

fn plan(file: &WeightFile, network: &[Expected]) -> LoadPlan {
    let target = Target {
        architecture: "tiny",
        expected: network,
        conventions: &[],
    };
    compare(file, &target, None).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn names_of_classes_are_found_wherever_a_version_keeps_them() {
    for fixture in [
        "mmdetection.pth",
        "mmdetection_ema.pth",
        "mmdetection_legacy.pth",
    ] {
        let classes = read_fixture(fixture).classes.unwrap();
        assert_eq!(classes.unwrap(), CLASSES, "{fixture}");
    }
    assert_eq!(read_fixture("yolox.pth").classes, None);
}

/// The class names of a file whose `names` are what `names` writes.
fn classes(names: impl FnOnce(&mut Pickler)) -> Option<Result<Vec<String>, String>> {
    let mut file = Pickler::new();
    file.raw(b"}(").model("", 1.0).text("names");
    names(&mut file);
    let bytes = file.raw(b"u").zip();
    common::read_bytes("names.pth", &bytes).classes
}

/// Those of a list of texts.
fn listed(names: &[&str]) -> Option<Result<Vec<String>, String>> {
    classes(|file| {
        file.raw(b"(");
        for name in names {
            file.text(name);
        }
        file.raw(b"l");
    })
}

#[test]
fn names_that_cannot_be_used_are_told_with_their_fault() {
    let numbered: Vec<String> = (0..100_001).map(|number| number.to_string()).collect();
    let numbered: Vec<&str> = numbered.iter().map(String::as_str).collect();
    let few = listed(&numbered[..3]);
    assert_eq!(few.unwrap().unwrap(), ["0", "1", "2"]);
    let fault = |names: Option<Result<Vec<String>, String>>| names.unwrap().unwrap_err();
    assert_eq!(
        fault(listed(&numbered)),
        "`names` has 100,001 names, more than 100,000"
    );
    let twice = listed(&["gizmo0", "gizmo1", "gizmo0"]);
    assert_eq!(fault(twice), "`names` has the name `gizmo0` twice");
    let empty = listed(&["a", " "]);
    assert_eq!(fault(empty), "`names` has an empty name at place 1");
    let no_text = "`names` has something else than a text of at most 1,024 bytes at place 1";
    let long = listed(&["a", &"b".repeat(1 << 20)]);
    assert_eq!(fault(long), no_text);
    let mixed = classes(|file| {
        file.raw(b"(").text("a").int(7).raw(b"l");
    });
    assert_eq!(fault(mixed), no_text);
    let text = classes(|file| {
        file.text("person");
    });
    assert_eq!(fault(text), "`names` is not a list of names");
    let gap = classes(|file| {
        file.dict(|file| {
            file.int(0).text("a").int(2).text("b");
        });
    });
    assert_eq!(
        fault(gap),
        "`names` is a dictionary whose keys are not 0, 1, 2, …"
    );
    // One text, named again and again.
    let repeated = classes(|file| {
        file.raw(b"(").text(&"name".repeat(250)).raw(b"q\x00");
        file.raw(&b"h\x00".repeat(90_000)).raw(b"l");
    });
    assert!(fault(repeated).ends_with("…` twice"));
}

#[test]
fn an_empty_list_and_none_are_no_names() {
    assert_eq!(listed(&[]), None);
    let none = classes(|file| {
        file.raw(b"N");
    });
    assert_eq!(none, None);
}

#[test]
fn the_fault_of_names_is_in_the_report() {
    let mut file = read_fixture("mmdetection.pth");
    file.classes = Some(Err("`meta.CLASSES` has the name `a` twice".to_owned()));
    let inspection = inspect(&file, &[], None).unwrap();
    let report = inspection.report();
    let line = "classes: the file's names cannot be used: `meta.CLASSES` has the name `a` twice\n";
    assert!(report.contains(line), "{report}");
    assert_eq!(inspection.classes, None);
}

#[test]
fn a_training_log_and_an_optimizer_lie_beside_the_tensors_and_are_not_run() {
    let file = read_fixture("mmdetection.pth");
    assert_eq!(file.stripped, ["state_dict"]);
    assert_eq!(file.tensors.len(), 8);
    for object in [
        "mmengine.logging.history_buffer.HistoryBuffer",
        "mmengine.logging.message_hub.MessageHub",
    ] {
        assert!(file.ignored_objects.iter().any(|named| named == object));
    }
    for fixture in ["mmdetection_legacy.pth", "yolox.pth", "yolox_legacy.pth"] {
        let file = read_fixture(fixture);
        assert_eq!(file.set_aside, ["optimizer (3 tensors)"], "{fixture}");
    }
    assert_eq!(
        read_fixture("yolox_module.pth").stripped,
        ["model", "module."]
    );
}

#[test]
fn the_average_of_mmengine_is_what_its_state_dict_holds() {
    let file = read_fixture("mmdetection_ema.pth");
    let network = network(3);
    let plan = plan(&file, &network);
    assert_eq!(plan.stripped, ["state_dict."]);
    assert_eq!(plan.rivals, ["ema_state_dict.module."]);
    // Value 0 of tensor 20.
    assert_eq!(plan.loaded[STEM].data[0], 250.0);
    let report = plain(&plan.report());
    assert!(
        report.contains("is taken (MMEngine saves the moving average under this name)"),
        "{report}"
    );
    assert!(report.contains("unused: none"), "{report}");
}

#[test]
fn a_convolution_that_levels_share_is_a_copy_and_not_unused() {
    let mut file = read_fixture("mmdetection.pth");
    let network = network(3);
    let whole = plan(&file, &network);
    assert_eq!(whole.copies, [SECOND_LEVEL]);
    assert!(whole.unused.is_empty() && whole.missing.is_empty());
    whole.require_equal_copies().unwrap();
    let report = whole.report();
    assert!(report.contains("not needed: 1 tensor that the file holds again"));

    let candidates = [Target {
        architecture: "tiny",
        expected: &network,
        conventions: &[],
    }];
    let inspection = inspect(&file, &candidates, None).unwrap();
    assert_eq!(inspection.guesses[0].likeness, 1.0);
    assert_eq!(inspection.family, Some("RTMDet"));
    let report = inspection.report();
    assert!(
        report.contains("classes: 3: person, car, traffic light"),
        "{report}"
    );

    file.tensors.get_mut(SECOND_LEVEL).unwrap().data[0] += 1.0;
    let other = plan(&file, &network);
    assert_eq!(other.contradictions.len(), 1);
    assert!(
        other
            .report()
            .contains("WARNING: 1 tensor that this network shares")
    );
    let error = one_line(&other.require_equal_copies().unwrap_err());
    assert!(
        error.contains(&format!("{SECOND_LEVEL} differs from")),
        "{error}"
    );
}

#[test]
fn rows_of_classes_that_a_file_has_are_kept() {
    let file = read_fixture("mmdetection.pth");
    let with_rows = |from: &[Option<usize>]| {
        let mut network = network(from.len());
        for tensor in &mut network[4..] {
            tensor.rows = Some(Rows {
                of: 3,
                from: from.to_vec(),
            });
        }
        plan(&file, &network)
    };
    // A car, and something new.
    let some = with_rows(&[Some(1), None]);
    assert_eq!(some.rows.len(), 2);
    assert_eq!(some.rows[0].name, PREDICTOR);
    // Values 2 and 3 of tensor 4; value 1 of tensor 5.
    assert_eq!(some.rows[0].values, [(0, vec![50.25, 50.375])]);
    assert_eq!(some.rows[1].values, [(0, vec![62.625])]);
    assert!(!some.loaded.contains_key(PREDICTOR));
    let report = some.report();
    assert!(
        report.contains("1 of 2 rows come from the file's 3, the others are initialised"),
        "{report}"
    );

    let none = with_rows(&[None, None]);
    assert!(none.report().contains("no row comes from the file's 3"));
    assert!(none.wrong_shape.is_empty());

    let reordered = with_rows(&[Some(2), Some(0), Some(1)]);
    assert_eq!(
        reordered.loaded[PREDICTOR].data,
        [50.5, 50.625, 50.0, 50.125, 50.25, 50.375]
    );
    assert!(reordered.rows.is_empty());
}

#[test]
fn rows_of_eight_bits_with_a_scale_beside_them_are_refused_by_name() {
    let mut file = read_fixture("mmdetection.pth");
    let predictor = file.tensors.get_mut(PREDICTOR).unwrap();
    predictor.dtype = "i8";
    let scale = predictor.clone();
    let name = "bbox_head.rtm_cls.0.weight_scale";
    file.tensors.insert(name.to_owned(), scale);
    let mut network = network(2);
    network[4].rows = Some(Rows {
        of: 3,
        from: vec![Some(1), None],
    });
    let target = Target {
        architecture: "tiny",
        expected: &network,
        conventions: &[],
    };
    let error = one_line(&compare(&file, &target, None).unwrap_err());
    let words = format!("{PREDICTOR} is I8 with a scale in {name}");
    assert!(error.contains(&words), "{error}");
}

#[test]
fn a_head_of_another_number_of_classes_is_said_to_be_so() {
    let file = read_fixture("mmdetection.pth");
    let report = plan(&file, &network(5)).report();
    assert!(
        report.contains("re-initialised (3 → 5 classes)"),
        "{report}"
    );
}
