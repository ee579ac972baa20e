//! `warmstart devices`, and the device of the commands that have `--device`.

use std::io::stdout;

use warmstart_language::{counted, message, translated};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::devices::{card_of, open, usual};
use warmstart_recipe::Error;
use warmstart_train::device::computing_on;
use warmstart_workflows::devices::{DeviceInfo, can_use_cards, list};

use super::{Failure, use_threads};
use crate::arguments::{DeviceFlag, Devices};
use crate::printing::{json, line, print_to_stderr};
use crate::progress::noted;
use crate::text_table::{rows, unknown};

/// Opens the device of a command, and says which card it is where it is one.
pub fn open_device(flag: &DeviceFlag) -> Result<Device, Failure> {
    let name = flag.name().map_err(Error::from)?;
    let device = open(name).map_err(Error::from)?;
    if let Some(card) = card_of(&device) {
        print_to_stderr(noted(computing_on(card)));
    }
    Ok(device)
}

pub fn devices(arguments: &Devices) -> Result<(), Failure> {
    let threads = use_threads(&arguments.threads)?;
    let all = list(!arguments.no_measure)?;
    let mut out = stdout().lock();
    if arguments.json {
        for device in &all {
            json(&mut out, device)?;
        }
    } else {
        for text in lines(&all, threads) {
            line(&mut out, text)?;
        }
    }
    for device in &all {
        if let Some(problem) = &device.problem {
            let name = device.name;
            print_to_stderr(noted(message!(
                "the speed of {name} could not be measured: {problem}"
            )));
        }
    }
    // A variable may name a card that is not there, or no device.
    if let Some(error) = usual().err() {
        print_to_stderr(noted(error.to_string()));
    }
    Ok(())
}

fn lines(all: &[DeviceInfo], threads: usize) -> Vec<String> {
    let head = [
        message!("device"),
        message!("hardware"),
        message!("interface"),
        message!("driver"),
        message!("kind"),
        message!("memory"),
        message!("free"),
        message!("images/s"),
    ];
    let mut lines = rows(&head, all.iter().map(row));
    if all.iter().any(|device| device.images_per_second.is_some()) {
        lines.push(message!(
            "images/s: MobileNetV2 in batches of 16; the processor with {}",
            counted(threads, "thread")
        ));
    }
    if !can_use_cards() {
        lines.push(message!(
            "this build computes on the processor alone; docs/devices.md says how to get one for graphics cards"
        ));
    } else if all.len() == 1 {
        lines.push(message!(
            "no graphics card that this build can use was found; docs/devices.md says what it needs"
        ));
    }
    lines
}

fn row(device: &DeviceInfo) -> [String; 8] {
    let gigabytes =
        |bytes: Option<u64>| unknown(bytes.map(|bytes| format!("{:.1} GB", bytes as f64 / 1e9)));
    let name = device.name;
    let speed = device.images_per_second;
    [
        if device.auto {
            message!("{name} (auto)")
        } else {
            name.to_string()
        },
        device.model.clone(),
        device.interface.clone(),
        unknown(device.driver.clone()),
        translated(device.kind.words()).to_owned(),
        gigabytes(device.memory_total),
        gigabytes(device.memory_free),
        unknown(speed.map(|speed| format!("{speed:.0}"))),
    ]
}

#[cfg(test)]
mod tests {
    use warmstart_nn::devices::DeviceName;
    use warmstart_workflows::devices::DeviceKind;

    use super::*;

    fn device(name: DeviceName, speed: Option<f64>) -> DeviceInfo {
        DeviceInfo {
            name,
            auto: name == DeviceName::Gpu(0),
            model: "A maker's name".to_owned(),
            interface: "vulkan".to_owned(),
            driver: None,
            kind: DeviceKind::Discrete,
            memory_total: Some(8_000_000_000),
            memory_free: None,
            images_per_second: speed,
            problem: None,
        }
    }

    #[test]
    fn the_table_marks_the_automatic_device_and_has_a_dash_for_what_is_not_known() {
        let all = [
            device(DeviceName::Cpu, Some(412.6)),
            device(DeviceName::Gpu(0), None),
        ];
        let lines = lines(&all, 4);
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let processor = words(&lines[1]);
        assert_eq!(processor[0], "cpu");
        assert_eq!(processor.last().unwrap(), "413");
        let card = lines[2].as_str();
        assert!(card.starts_with("gpu:0 (auto)"), "{card}");
        assert!(card.contains("discrete card  8.0 GB"), "{card}");
        assert_eq!(words(card).iter().filter(|word| *word == "–").count(), 3);
        assert!(lines[3].ends_with("with 4 threads"), "{lines:?}");
    }

    #[test]
    fn without_a_speed_nothing_is_said_of_it() {
        let lines = lines(&[device(DeviceName::Cpu, None)], 1);
        assert!(!lines[2..].iter().any(|line| line.contains("MobileNetV2")));
        assert!(
            lines.last().unwrap().contains("docs/devices.md"),
            "{lines:?}"
        );
    }
}
