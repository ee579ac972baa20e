//! The network between the machines of a run: its speed as people write it, and the time of sums over all of them.

use std::fmt;
use std::str::FromStr;

use warmstart_language::message;

/// Seconds of a message, however short it is: what Ethernet through the system's sockets takes, in round figures.
/// InfiniBand takes a tenth.
pub(super) const LATENCY: f64 = 50e-6;

/// Units of speed, in bytes a second.
const UNITS: [(&str, f64); 6] = [
    ("kbit", 1e3 / 8.0),
    ("Mbit", 1e6 / 8.0),
    ("Gbit", 1e9 / 8.0),
    ("kB/s", 1e3),
    ("MB/s", 1e6),
    ("GB/s", 1e9),
];

/// A network in which each machine sends at a certain speed, while it receives at the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The speed as it was written.
    pub name: String,
    /// Bytes that a machine sends in a second.
    pub bytes_per_second: f64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            name: "1Gbit".to_owned(),
            bytes_per_second: 1e9 / 8.0,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let short = text
            .strip_suffix("bit/s")
            .map(|number| format!("{number}bit"));
        let of_unit = |(unit, bytes): &(&str, f64)| {
            let number = short.as_deref().unwrap_or(text).strip_suffix(unit)?;
            let is_plain = number.starts_with(|first: char| first.is_ascii_digit());
            let number: f64 = number.trim_end().parse().ok().filter(|_| is_plain)?;
            Some(number * bytes)
        };
        let bytes = UNITS.iter().find_map(of_unit);
        match bytes.filter(|bytes| bytes.is_finite() && *bytes > 0.0) {
            Some(bytes_per_second) => Ok(Self {
                name: text.to_owned(),
                bytes_per_second,
            }),
            None => Err(message!(
                "expected a speed above 0, in bits such as 1Gbit, 10Gbit or 100Mbit, or in bytes such as 125MB/s or \
                 1GB/s"
            )),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Network {
    /// Seconds in which every rank gets the sum of so many bytes of each rank: each adds up an equal part of all ranks,
    /// and sends it to the others. A rank sends and receives 2 · (ranks − 1) / ranks of the bytes. These are the costs
    /// of a reduce-scatter by pairwise exchange and of an allgather in a ring: Thakur, Rabenseifner and Gropp,
    /// "Optimization of Collective Communication Operations in MPICH", 2005.
    pub(super) fn seconds_of_sum(&self, bytes: f64, ranks: usize) -> f64 {
        2.0 * self.seconds_of_parts(bytes, ranks)
    }

    /// Seconds in which one rank gets so many bytes, of which every rank has an equal part.
    pub(super) fn seconds_of_parts(&self, bytes: f64, ranks: usize) -> f64 {
        let others = ranks.saturating_sub(1) as f64;
        others / ranks as f64 * bytes / self.bytes_per_second + others * LATENCY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_written_in_bits_or_in_bytes() {
        for (text, bytes) in [
            ("1Gbit", 125e6),
            ("10Gbit", 1.25e9),
            ("25 Gbit", 3.125e9),
            ("2.5Gbit/s", 312.5e6),
            ("100Mbit", 12.5e6),
            ("100Mbit/s", 12.5e6),
            ("8kbit", 1e3),
            ("125MB/s", 125e6),
            ("1GB/s", 1e9),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.bytes_per_second, bytes, "{text}");
            assert_eq!(network.to_string(), text);
        }
        assert_eq!(Ok(Network::default()), "1Gbit".parse());
    }

    #[test]
    fn what_is_no_speed_is_refused_with_the_forms_that_are() {
        for text in [
            "",
            "1",
            "1G",
            "fast",
            "Gbit",
            "0Gbit",
            "-1Gbit",
            "+1Gbit",
            "infGbit",
            "nanGbit",
            "1e999Gbit",
            "1gbit",
            "1GB",
            "GB/s",
            "1 2Gbit",
            "1Gbit/s/s",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            for form in ["1Gbit", "100Mbit", "1GB/s"] {
                assert!(error.contains(form), "{text}: {error}");
            }
        }
    }

    #[test]
    fn a_rank_sends_its_bytes_almost_twice_and_a_message_to_each_other_rank_twice() {
        let network: Network = "1GB/s".parse().unwrap();
        assert_eq!(network.seconds_of_sum(1e9, 1), 0.0);
        let seconds = |ranks| network.seconds_of_sum(1e9, ranks);
        assert!((seconds(2) - (1.0 + 2.0 * LATENCY)).abs() < 1e-9);
        assert!((seconds(4) - (1.5 + 6.0 * LATENCY)).abs() < 1e-9);
        assert!((network.seconds_of_parts(1e9, 4) - (0.75 + 3.0 * LATENCY)).abs() < 1e-9);
    }
}
