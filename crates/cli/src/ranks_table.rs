//! The time of a run's epochs on several machines, as a table for each phase, or as lines where the terminal is narrow.

use warmstart_files::duration;
use warmstart_language::{columns, message, wrapped};
use warmstart_train::plan::over_ranks::{EpochOnRanks, PhaseOnRanks, RanksPlan};

use crate::progress::noted;
use crate::text_table::{rows, unknown};

/// The plan for several machines, for a terminal of so many columns, with its notes.
pub fn ranks_lines(plan: &RanksPlan, width: usize) -> Vec<String> {
    let network = &plan.network;
    let heading = message!(
        "an epoch on several machines, by the measured steps, with {network} between them; what moves while a step \
         computes is not waited for"
    );
    let mut lines = wrapped(&heading, width);
    for phase in &plan.phases {
        lines.push(format!("  {}", phase.name));
        let table = table(phase);
        if table.iter().all(|line| columns(line) <= width) {
            lines.extend(table);
        } else {
            lines.extend(phase.epochs.iter().map(short));
        }
        let advice = wrapped(&advice(phase), width.saturating_sub(4));
        lines.extend(advice.into_iter().map(|line| format!("    {line}")));
    }
    lines.extend(plan.notes.iter().map(noted));
    lines
}

/// A line for each number of machines, below the names of the columns.
fn table(phase: &PhaseOnRanks) -> Vec<String> {
    let head = [
        message!("ranks"),
        message!("epoch"),
        message!("computes"),
        message!("waits"),
        message!("step computes"),
        message!("step moves"),
        message!("speed-up"),
    ];
    let cells = phase.epochs.iter().map(|epoch| {
        [
            epoch.ranks.to_string(),
            time(epoch.seconds),
            time(epoch.computing),
            time(epoch.waiting),
            time(epoch.step_computing),
            time(epoch.step_moving),
            format!("{:.2}", epoch.speed_up),
        ]
    });
    let table = rows(&head, cells).into_iter();
    table.map(|line| format!("    {line}")).collect()
}

/// The same in a line that fits 40 columns.
fn short(epoch: &EpochOnRanks) -> String {
    message!(
        "    {ranks} ranks: {time}, {speed_up:.2} times as fast",
        ranks = epoch.ranks,
        time = time(epoch.seconds),
        speed_up = epoch.speed_up
    )
}

/// Whether more machines help, in a sentence.
fn advice(phase: &PhaseOnRanks) -> String {
    let PhaseOnRanks {
        fastest,
        worthwhile,
        ..
    } = phase;
    let on_fastest = phase.epochs.iter().find(|epoch| epoch.ranks == *fastest);
    let speed_up = on_fastest.map_or(1.0, |epoch| epoch.speed_up);
    let most = phase.epochs.last().map_or(1, |epoch| epoch.ranks);
    if *fastest == 1 {
        message!("more machines do not make it shorter")
    } else if *worthwhile == most {
        message!(
            "{speed_up:.1} times as fast on {most} machines; each doubling saves more than a tenth"
        )
    } else if worthwhile == fastest {
        message!(
            "shortest on {fastest} machines, {speed_up:.1} times as fast as on one; more do not help"
        )
    } else {
        message!(
            "shortest on {fastest} machines, {speed_up:.1} times as fast as on one; from {worthwhile} on, twice as \
             many save less than a tenth"
        )
    }
}

/// A time that may be short; a dash for none.
fn time(seconds: f64) -> String {
    unknown((seconds > 0.0).then(|| match seconds {
        ..1.0 => message!("{:.0} ms", seconds * 1e3),
        ..10.0 => message!("{seconds:.1} s"),
        _ => duration(seconds),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An epoch that waits for so long, and in which bytes move for twice as long.
    fn epoch(ranks: usize, waiting: f64) -> EpochOnRanks {
        let computing = 64.0 / ranks as f64;
        EpochOnRanks {
            ranks,
            step_computing: 0.64 / ranks as f64,
            step_moving: waiting / 50.0,
            step_waiting: waiting / 100.0,
            computing,
            moving: 2.0 * waiting,
            waiting,
            seconds: computing + waiting,
            speed_up: 64.0 / (computing + waiting),
        }
    }

    fn phase(fastest: usize, worthwhile: usize) -> PhaseOnRanks {
        PhaseOnRanks {
            name: "thaw".into(),
            gradient_bytes: 14e6,
            epochs: vec![epoch(1, 0.0), epoch(2, 3.0), epoch(4, 5.25)],
            fastest,
            worthwhile,
        }
    }

    fn plan() -> RanksPlan {
        RanksPlan {
            network: "10Gbit".into(),
            bytes_per_second: 1.25e9,
            latency_seconds: 50e-6,
            phases: vec![phase(4, 4)],
            notes: vec!["more shards".into()],
        }
    }

    #[test]
    fn a_line_says_how_an_epoch_and_a_step_are_made_up() {
        let lines = ranks_lines(&plan(), 80);
        let [.., phase, head, one, two, four, advice, note] = &lines[..] else {
            panic!("{lines:#?}")
        };
        assert_eq!(phase, "  thaw");
        assert!(
            head.contains("ranks") && head.contains("speed-up"),
            "{head}"
        );
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(one), "1 64 s 64 s – 640 ms – 1.00");
        assert_eq!(words(two), "2 35 s 32 s 3.0 s 320 ms 60 ms 1.83");
        assert_eq!(words(four), "4 21 s 16 s 5.2 s 160 ms 105 ms 3.01");
        assert!(
            advice.starts_with("    3.0 times as fast on 4 machines"),
            "{advice}"
        );
        assert_eq!(note, "note: more shards");
    }

    #[test]
    fn it_fits_80_columns_and_the_lines_fit_40() {
        for width in [80, 40] {
            let lines = ranks_lines(&plan(), width);
            let widest = lines.iter().map(|line| columns(line)).max();
            assert!(widest <= Some(width), "{lines:#?}");
            assert_eq!(
                width == 80,
                lines.iter().any(|line| line.contains("step moves"))
            );
        }
        let lines = ranks_lines(&plan(), 40);
        let of_two = "    2 ranks: 35 s, 1.83 times as fast";
        assert!(lines.contains(&of_two.to_owned()), "{lines:#?}");
    }

    #[test]
    fn the_advice_is_where_more_machines_end_to_help() {
        for (ranks, expected) in [
            ([1, 1], "more machines do not make it shorter"),
            ([4, 4], "each doubling saves more than a tenth"),
            (
                [2, 2],
                "shortest on 2 machines, 1.8 times as fast as on one; more do not help",
            ),
            ([4, 2], "from 2 on, twice as many save less than a tenth"),
        ] {
            let [fastest, worthwhile] = ranks;
            let advice = advice(&phase(fastest, worthwhile));
            assert!(advice.contains(expected), "{ranks:?}: {advice}");
        }
    }
}
