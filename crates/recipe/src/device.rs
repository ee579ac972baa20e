//! The device of a run as a value of its recipe, and its errors as those of a request.

use std::ffi::OsStr;

use warmstart_files::Key;
use warmstart_language::message;
use warmstart_nn::devices::{DeviceError, DeviceName};

use crate::error::{Error, Problem};
use crate::user_value::{UserValue, parsed};

impl UserValue for DeviceName {
    type Stored = Self;

    fn stored(self) -> Option<Self> {
        Some(self)
    }

    fn of_flag(flag: &OsStr) -> Result<Self, String> {
        // `Auto` adds its own word to this sentence.
        parsed(flag).map_err(|_| message!("expected cpu, gpu or a certain card such as gpu:1"))
    }
}

impl From<DeviceError> for Error {
    /// A device that cannot be used: a problem of the request.
    fn from(error: DeviceError) -> Self {
        let fix = match &error {
            DeviceError::BuildWithoutCards => message!(
                "give {} cpu, or install a build for graphics cards (docs/devices.md)",
                Key::DEVICE
            ),
            DeviceError::NoSuchCard { .. } => message!(
                "give {} cpu, or one that `warmstart devices` lists",
                Key::DEVICE
            ),
            DeviceError::Variable(_) => message!("unset it, or override it by {}", Key::DEVICE),
        };
        let problem = Problem::new(error.to_string()).of_key(Key::DEVICE);
        problem.fix(fix).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Auto;

    #[test]
    fn a_flag_is_a_name_or_auto() {
        let of_flag = |text: &str| Auto::<DeviceName>::of_flag(OsStr::new(text));
        assert_eq!(of_flag("auto"), Ok(Auto::Auto));
        assert_eq!(of_flag("cpu"), Ok(Auto::Value(DeviceName::Cpu)));
        assert_eq!(of_flag("gpu"), Ok(Auto::Value(DeviceName::Gpu(0))));
        assert_eq!(of_flag("gpu:2"), Ok(Auto::Value(DeviceName::Gpu(2))));
        assert_eq!(
            of_flag("cuda"),
            Err("expected cpu, gpu or a certain card such as gpu:1, or auto".to_owned())
        );
    }

    #[test]
    fn a_device_that_cannot_be_used_is_a_problem_of_the_request_with_its_fix() {
        let name = DeviceName::Gpu(3);
        let found = vec!["gpu:0, A card".to_owned()];
        for (error, words) in [
            (DeviceError::BuildWithoutCards, "docs/devices.md"),
            (
                DeviceError::NoSuchCard { name, found },
                "there is no gpu:3; the graphics cards here are gpu:0, A card: give device cpu, or one that",
            ),
            (
                DeviceError::Variable("it is wrong".to_owned()),
                "WARMSTART_DEVICE: it is wrong: unset it",
            ),
        ] {
            let error = Error::from(error);
            assert!(error.is_usage());
            assert_eq!(error.fields().key, Some("device".into()));
            let said = crate::plain(&error.to_string());
            assert!(said.contains(words), "{said}");
        }
    }
}
