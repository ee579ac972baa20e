//! The places of this machine, and the settings of its network, all from environment variables.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The variable that names a folder or a mirror that is asked first.
pub const WEIGHTS_VARIABLE: &str = "WARMSTART_WEIGHTS";
/// The variable that says for how many seconds a server may be silent.
const TIMEOUT_VARIABLE: &str = "WARMSTART_DOWNLOAD_TIMEOUT";
/// Seconds for which a server may be silent, where the user says nothing.
const TIMEOUT: f64 = 30.0;
/// The hub's own address.
const HUB: &str = "https://huggingface.co";

/// Where files are looked for and kept, and how the network is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// A folder that is asked first.
    pub folder: Option<PathBuf>,
    /// A mirror that is asked first: the address of a folder.
    pub mirror: Option<String>,
    /// Folder of the files that were downloaded; `None` if the system has no place for it.
    pub cache: Option<PathBuf>,
    /// Cache of the Hugging Face Hub, which other programs share.
    pub hub_cache: Option<PathBuf>,
    /// Address of the hub, or of its mirror.
    pub endpoint: String,
    /// Whether the user gave that address.
    pub has_own_endpoint: bool,
    /// The user's key for the hub.
    pub token: Option<String>,
    /// Whether the user forbids downloads.
    pub is_offline: bool,
    /// Time for which a server may be silent.
    pub timeout: Duration,
}

impl Places {
    /// The places that this process's environment names.
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// The places that variables name.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| given(name).and_then(|value| value.into_string().ok());
        // An empty or relative path does not count: it would be another folder in every working directory.
        let folder = |name: &str| {
            let folder = given(name).map(PathBuf::from);
            folder.filter(|folder| folder.is_absolute())
        };
        let caches = if cfg!(windows) {
            folder("LOCALAPPDATA")
        } else {
            folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
        };
        // As huggingface_hub: its default differs from ours on Windows.
        let hub_home = folder("HF_HOME")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| {
                let home = folder("HOME").or_else(|| folder("USERPROFILE"))?;
                Some(home.join(".cache/huggingface"))
            });
        let hub_cache = folder("HF_HUB_CACHE").or_else(|| Some(hub_home.as_ref()?.join("hub")));
        let endpoint = text("HF_ENDPOINT");
        let token = text("HF_TOKEN").or_else(|| {
            let path = folder("HF_TOKEN_PATH").or_else(|| Some(hub_home?.join("token")))?;
            warmstart_files::read_text(&path, 4096).ok()
        });
        let token = token.map(|token| token.trim().to_owned());
        let seconds = text(TIMEOUT_VARIABLE).and_then(|value| value.parse().ok());
        let seconds = seconds.filter(|seconds: &f64| *seconds > 0.0 && *seconds < 1e6);
        let weights = given(WEIGHTS_VARIABLE);
        let mirror = weights.clone().and_then(|value| value.into_string().ok());
        let mirror = mirror.filter(|url| is_url(url));
        Self {
            folder: weights.map(PathBuf::from).filter(|_| mirror.is_none()),
            mirror: mirror.map(|url| url.trim_end_matches('/').to_owned()),
            cache: caches.map(|caches| caches.join("warmstart").join("weights")),
            hub_cache,
            has_own_endpoint: endpoint.is_some(),
            endpoint: endpoint
                .as_deref()
                .unwrap_or(HUB)
                .trim_end_matches('/')
                .to_owned(),
            token: token.filter(|token| !token.is_empty()),
            is_offline: text("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            timeout: Duration::from_secs_f64(seconds.unwrap_or(TIMEOUT)),
        }
    }
}

fn is_url(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

/// Whether a variable is set to one of the words that huggingface_hub takes for true.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)]) -> Places {
        Places::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).into())
        })
    }

    #[cfg(unix)]
    #[test]
    fn caches_lie_where_other_programs_have_them() {
        let none = places(&[("HOME", ""), ("XDG_CACHE_HOME", "here")]);
        assert_eq!((none.cache, none.hub_cache), (None, None));
        let home = places(&[("HOME", "/h")]);
        assert_eq!(home.cache, Some("/h/.cache/warmstart/weights".into()));
        assert_eq!(home.hub_cache, Some("/h/.cache/huggingface/hub".into()));
        let moved = places(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c"), ("HF_HOME", "/f")]);
        assert_eq!(moved.cache, Some("/c/warmstart/weights".into()));
        assert_eq!(moved.hub_cache, Some("/f/hub".into()));
    }

    #[test]
    fn the_place_that_is_asked_first_is_a_folder_or_a_mirror() {
        let folder = places(&[(WEIGHTS_VARIABLE, "weights/")]);
        assert_eq!(
            (folder.folder, folder.mirror),
            (Some("weights/".into()), None)
        );
        let mirror = places(&[(WEIGHTS_VARIABLE, "https://mirror.example/weights/")]);
        let address = "https://mirror.example/weights".to_owned();
        assert_eq!((mirror.folder, mirror.mirror), (None, Some(address)));
    }

    #[test]
    fn settings_of_the_hub_are_read() {
        let usual = places(&[]);
        assert_eq!((usual.endpoint.as_str(), usual.is_offline), (HUB, false));
        assert_eq!(usual.timeout, Duration::from_secs(30));
        let own = places(&[
            ("HF_ENDPOINT", "https://hf-mirror.com/"),
            ("HF_HUB_OFFLINE", "yes"),
            ("HF_TOKEN", " key\n"),
            (TIMEOUT_VARIABLE, "0.5"),
        ]);
        assert_eq!(own.endpoint, "https://hf-mirror.com");
        assert!(own.is_offline && own.has_own_endpoint);
        assert_eq!(own.token.as_deref(), Some("key"));
        assert_eq!(own.timeout, Duration::from_millis(500));
    }
}
