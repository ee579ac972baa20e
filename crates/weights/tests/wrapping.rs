//! Things that training tools put around the weights: wrappers, prefixes, copies of the network, objects.

mod common;

use common::pickles::Pickler;
use common::{error_for, expected, one_line, read_bytes, target};
use warmstart_files::plain;
use warmstart_weights::{LoadPlan, WeightFile, compare};

fn plan(file: &WeightFile, prefix: Option<&str>) -> LoadPlan {
    compare(file, &target(&expected(5)), prefix).unwrap_or_else(|e| panic!("{e}"))
}

/// A file whose value is a dictionary.
fn saved(fill: impl FnOnce(&mut Pickler)) -> WeightFile {
    read_bytes("saved.pth", &Pickler::new().dict(fill).zip())
}

/// The value of all loaded tensors, which shows the copy that was taken.
fn taken(plan: &LoadPlan) -> f32 {
    assert_eq!(plan.backbone_coverage(), 1.0);
    plan.loaded["features.0.0.weight"].data[0]
}

#[test]
fn weights_under_any_key_are_found_beside_an_optimizer() {
    for key in ["net_dict", "generator", "params_ema", "0"] {
        let file = saved(|p| {
            p.text("epoch").int(3);
            p.text(key).dict(|p| {
                p.model("", 1.0);
            });
            p.text("optimizer").optimizer();
            p.text("optimizer_states").raw(b"](");
            p.optimizer().optimizer().raw(b"e");
        });
        assert_eq!(file.stripped, [key]);
        assert_eq!(
            file.set_aside,
            ["optimizer (1 tensor)", "optimizer_states (2 tensors)"]
        );
        assert_eq!(taken(&plan(&file, None)), 1.0);
    }
}

#[test]
fn a_prefix_is_found_however_deep_and_however_small_its_part() {
    for prefix in [
        "a.",
        "module.net.backbone.body.",
        "x.1.y.2.z.3.w.4.v.5.u.6.t.7.s.8.r.",
    ] {
        let file = saved(|p| {
            p.text("state_dict").dict(|p| {
                p.model(prefix, 1.0);
                for block in 0..40 {
                    p.text(&format!("decoder.{block}.weight"))
                        .tensor(&[8], &[0.0; 8]);
                }
            });
        });
        let plan = plan(&file, None);
        assert_eq!(plan.stripped, ["state_dict", prefix]);
        assert_eq!(taken(&plan), 1.0);
        assert_eq!(plan.unused.len(), 40);
    }
}

#[test]
fn of_several_copies_one_is_taken_by_a_rule_and_all_are_named() {
    for (first, second, reason) in [
        (
            "encoder_q.",
            "encoder_k.",
            "the trained copy comes before its moving average",
        ),
        (
            "online_network.",
            "target_network.",
            "the trained copy comes before its moving average",
        ),
        (
            "teacher.backbone.",
            "student.backbone.",
            "a teacher comes before its student",
        ),
        (
            "net.",
            "net_ema.",
            "the trained copy comes before its moving average",
        ),
        (
            "ema.online_model.",
            "ema.ema_model.",
            "the trained copy comes before its moving average",
        ),
        (
            "target.teacher.",
            "target.student.",
            "a teacher comes before its student",
        ),
        ("a.", "b.", "the first among equals"),
    ] {
        let file = saved(|p| {
            p.model(second, 2.0).model(first, 1.0);
        });
        let taken_first = plan(&file, None);
        assert_eq!(taken(&taken_first), 1.0, "{first}");
        assert_eq!(taken_first.rivals, [second]);
        assert!(taken_first.unused.is_empty());
        let report = plain(&taken_first.report());
        let line = format!("fits under 2 prefixes: `{first}` is taken ({reason}");
        assert!(report.contains(&line), "{report}");
        assert!(
            report.contains(&format!("also `{second}`; choose with weights_prefix")),
            "{report}"
        );

        let wanted = second.trim_end_matches('.');
        let chosen = plan(&file, Some(wanted));
        assert_eq!(taken(&chosen), 2.0, "{second}");
        assert!(chosen.report().contains("as requested"));
    }
}

#[test]
fn moments_of_an_optimizer_are_no_copies_of_the_network() {
    for moments in [
        ["exp_avg.", "exp_avg_sq."],
        ["optimizer.exp_avg.", "optimizer.max_exp_avg_sq."],
        ["a.momentum_buffer.module.", "a.square_avg.module."],
    ] {
        let file = saved(|p| {
            p.model(moments[0], 2.0).model(moments[1], 3.0);
            p.model("average.backbone.", 1.0);
        });
        let plan = plan(&file, None);
        assert_eq!(taken(&plan), 1.0);
        assert!(plan.rivals.is_empty() && plan.unused.is_empty());
        assert_eq!(plan.set_aside.len(), 2, "{:?}", plan.set_aside);
        for (line, prefix) in plan.set_aside.iter().zip(moments) {
            let prefix = prefix.trim_end_matches("module.").trim_end_matches('.');
            assert!(line.starts_with(&format!("{prefix} (")), "{line}");
        }
    }
    let mut alone = Pickler::new();
    alone.dict(|p| {
        p.model("exp_avg.", 2.0);
    });
    let line = error_for("saved.pth", &alone.zip());
    assert!(line.contains("only the state of an optimizer"), "{line}");
}

#[test]
fn the_copy_with_more_tensors_is_taken_whatever_it_is_called() {
    let mut file = saved(|p| {
        p.model("ema.", 2.0).model("raw.", 1.0);
    });
    file.tensors.remove("raw.features.0.1.bias");
    assert_eq!(taken(&plan(&file, None)), 2.0);
}

#[test]
fn a_copy_without_a_prefix_is_chosen_by_an_empty_one() {
    let file = saved(|p| {
        p.model("", 1.0).model("ema_model.", 2.0);
    });
    assert_eq!(taken(&plan(&file, None)), 1.0);
    assert_eq!(taken(&plan(&file, Some("ema_model."))), 2.0);
    assert_eq!(taken(&plan(&file, Some(""))), 1.0);
}

#[test]
fn a_prefix_may_be_given_with_what_was_stripped_before_it() {
    let file = saved(|p| {
        p.text("state_dict").dict(|p| {
            p.model("module.encoder_q.", 1.0)
                .model("module.encoder_k.", 2.0);
        });
    });
    assert_eq!(file.stripped, ["state_dict", "module."]);
    for wanted in [
        "encoder_k",
        "module.encoder_k",
        "state_dict.module.encoder_k.",
    ] {
        assert_eq!(taken(&plan(&file, Some(wanted))), 2.0);
    }
    let error = compare(&file, &target(&expected(5)), Some("encoder_x")).unwrap_err();
    let line = one_line(&error);
    assert!(line.contains("under the prefix `encoder_x`"), "{line}");
    assert!(line.contains("`encoder_q.`, `encoder_k.`"), "{line}");
}

#[test]
fn of_many_copies_any_can_be_chosen() {
    let file = saved(|p| {
        for copy in 0..40 {
            p.model(&format!("models.{copy:02}."), copy as f32);
        }
    });
    assert_eq!(taken(&plan(&file, None)), 0.0);
    assert_eq!(taken(&plan(&file, Some("39"))), 39.0);
}

#[test]
fn objects_beside_the_tensors_are_skipped_and_named() {
    let file = saved(|p| {
        p.text("state_dict").dict(|p| {
            p.model("net.", 1.0);
            p.text("criterion.weight").tensor(&[3], &[0.0; 3]);
        });
        // A dictionary of a library's own class, filled item by item.
        p.text("hyper_parameters")
            .global("lightning.fabric.utilities.data", "AttributeDict");
        p.raw(b")\x81(").text("lr").int(1).raw(b"u");
        // A method of a class in an object's attributes, as a training log keeps it.
        p.text("message_hub")
            .global("mmengine.logging.history_buffer", "HistoryBuffer")
            .raw(b")\x81");
        p.dict(|p| {
            p.text("mean").global("builtins", "getattr").raw(b"(");
            p.global("mmengine.logging.history_buffer", "HistoryBuffer")
                .text("mean")
                .raw(b"tR");
        });
        p.raw(b"b");
        // An enumeration's member, which its class makes from a value.
        p.text("mode")
            .global("my.settings", "Mode")
            .raw(b"(")
            .text("max")
            .raw(b"tR");
    });
    assert_eq!(taken(&plan(&file, None)), 1.0);
    assert_eq!(
        file.ignored_objects,
        [
            "builtins.getattr",
            "lightning.fabric.utilities.data.AttributeDict",
            "mmengine.logging.history_buffer.HistoryBuffer",
            "my.settings.Mode",
        ]
    );
}

#[test]
fn code_that_would_make_a_tensor_is_refused() {
    let with = |fill: &dyn Fn(&mut Pickler)| {
        let bytes = Pickler::new()
            .dict(|p| {
                p.model("", 1.0);
                fill(p);
            })
            .zip();
        error_for("code.pth", &bytes)
    };
    let foreign = with(&|p| {
        p.text("extra")
            .global("mypackage", "rebuild")
            .raw(b"(")
            .storage(&[1.0])
            .raw(b"tR");
    });
    assert!(foreign.contains("would run mypackage.rebuild"), "{foreign}");
    let by_getattr = with(&|p| {
        p.text("extra").global("builtins", "getattr").raw(b"(");
        p.global("mypackage", "module")
            .text("system")
            .raw(b"tR(")
            .text("id")
            .raw(b"tR");
    });
    assert!(
        by_getattr.contains("a callable that it computes"),
        "{by_getattr}"
    );
    let handed_on = with(&|p| {
        p.text("extra")
            .global("functools", "partial")
            .raw(b"(")
            .global("os", "system");
        p.text("id").raw(b"tR");
    });
    assert!(handed_on.contains("would run os.system"), "{handed_on}");
    let through_a_library = Pickler::new()
        .raw(b"\x8c\x0btorchvision\x8c\x09os.system\x93(")
        .text("id")
        .raw(b"tR")
        .zip();
    let line = error_for("code.pth", &through_a_library);
    assert!(line.contains("torchvision.os.system"), "{line}");
}

#[test]
fn numbers_of_a_big_endian_machine_are_read() {
    let mut pickler = Pickler::big_endian();
    let fill = |p: &mut Pickler| {
        p.model("", 1.5);
    };
    let file = read_bytes("big.pth", &pickler.dict(fill).zip());
    assert_eq!(taken(&plan(&file, None)), 1.5);
}

#[test]
fn a_name_that_would_command_the_terminal_is_escaped() {
    let file = saved(|p| {
        p.model("", 1.0);
        p.text("evil\u{1b}[2J\nname").tensor(&[1], &[0.0]);
    });
    let plan = plan(&file, None);
    let report = plan.report()
        + &warmstart_weights::inspect(&file, &[], None)
            .unwrap()
            .report();
    assert!(!report.contains('\u{1b}'), "{report:?}");
    assert!(report.contains("evil\\u{1b}[2J\\nname"), "{report}");
}
