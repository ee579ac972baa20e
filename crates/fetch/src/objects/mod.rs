//! Data at an address: copied into a folder on this machine, file by file, and kept like their source.
//!
//! ```text
//! address ─ list ─▶ objects ─ those that are not here ─▶ whole files, each by one rename ─▶ folder
//!                                                        inventory: what lies there, and its version
//! ```
//!
//! Without the crate's feature `remote` an address is only recognised.

#[cfg(feature = "remote")]
mod address;
mod error;
#[cfg(feature = "remote")]
mod inventory;
#[cfg(feature = "remote")]
mod mirroring;
#[cfg(feature = "remote")]
mod names;
#[cfg(feature = "remote")]
mod receiving;
mod request;
#[cfg(feature = "remote")]
mod store;

use std::path::Path;

pub use error::ObjectError;
pub use request::{Mirror, Mirrored, ObjectEvent};

/// Whether this build can copy data from an address.
pub const COPIES_DATA: bool = cfg!(feature = "remote");

/// Schemes of the addresses that are copied from.
const SCHEMES: [&str; 3] = ["s3", "https", "http"];

/// The address that a path stands for, if it is one and no path of this machine: a known scheme, also where a path's
/// rules have left one slash of two (`s3:/bucket`), or any other with `://`.
pub fn address_of(data: &Path) -> Option<String> {
    let text = data.to_str()?;
    let (scheme, rest) = text.split_once(":/")?;
    let scheme = scheme.to_ascii_lowercase();
    let is_known = SCHEMES.contains(&scheme.as_str());
    // A single letter is a drive of Windows.
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let rest = match rest.strip_prefix('/') {
        Some(rest) if is_scheme => rest,
        None if is_known => rest,
        Some(_) | None => return None,
    };
    (!data.exists()).then(|| format!("{scheme}://{rest}"))
}

/// The variables of this process's environment that object stores are set up by.
pub fn settings_from_environment() -> Vec<(String, String)> {
    let variables = std::env::vars_os();
    let variables = variables.filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        name.starts_with("AWS_").then_some((name, value))
    });
    variables.collect()
}

/// Copies what is at an address into its folder: what is there unchanged is not fetched again, and what the address
/// has no more is removed.
///
/// # Errors
/// If the address is none, nothing is there, the server refuses or ends too often, a name leads out of the folder,
/// the system refuses, or the copying was stopped; what has arrived until then stays.
pub fn mirror(
    request: &Mirror,
    observe: &mut dyn FnMut(ObjectEvent),
) -> Result<Mirrored, ObjectError> {
    #[cfg(feature = "remote")]
    return mirroring::mirror(request, observe);
    #[cfg(not(feature = "remote"))]
    {
        let _ = observe;
        Err(ObjectError::NotBuilt {
            address: warmstart_files::one_line(request.address).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_its_scheme_and_survives_the_rules_of_paths() {
        let of = |text: &str| address_of(Path::new(text));
        for text in [
            "s3://b/x/",
            "https://h/a.tar",
            "http://h:1/a.csv",
            "gs://b/x",
        ] {
            assert_eq!(of(text).as_deref(), Some(text));
        }
        assert_eq!(of("s3:/b/x").as_deref(), Some("s3://b/x"));
        assert_eq!(of("S3://b/x").as_deref(), Some("s3://b/x"));
        for text in [
            "photos",
            "./s3/b",
            "C:/photos",
            "C://photos",
            "a:/b",
            "odd:/b",
            "://b",
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
