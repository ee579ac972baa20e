//! The device that a command computes on, and the arguments of `warmstart devices`.

use clap::Args;
use warmstart_nn::devices::{self, DeviceError, DeviceName};
use warmstart_recipe::{Auto, Key, UserValue as _};

use super::{Threads, documentation, value_of};

#[derive(Args)]
pub struct DeviceFlag {
    #[arg(
        long,
        value_name = "DEVICE",
        default_value = "auto",
        hide_default_value = true,
        value_parser = value_of::<Auto<DeviceName>>(Key::DEVICE),
        help = format!("{} [default: auto]", documentation(Key::DEVICE))
    )]
    device: Auto<DeviceName>,
}

impl DeviceFlag {
    /// The device that is asked for.
    ///
    /// # Errors
    /// If the environment names one that there cannot be.
    pub fn name(&self) -> Result<DeviceName, DeviceError> {
        match self.device {
            Auto::Auto => devices::automatic(),
            Auto::Value(name) => Ok(name),
        }
    }

    /// The device that is asked for by its name; `None` for `auto`.
    pub fn given(&self) -> Option<DeviceName> {
        self.device.stored()
    }
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart devices
  warmstart devices --no-measure --json

The speed is that of MobileNetV2 with batches of 16 images, as `predict` computes
them; reading the images is not part of it. It takes about two seconds a device.")]
pub struct Devices {
    /// Leave out the speed
    #[arg(long)]
    pub no_measure: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}
